"""The PostgreSQL and Valkey of a test run: from the environment, from Docker or from wheels, decided once."""

import gc
import os
import secrets
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from devstack import servers
from engine_common.migrate import migrate
from support.databases import create_database, drop_database, with_database

POSTGRES_IMAGE = "postgres:18"
VALKEY_IMAGE = "valkey/valkey:9"
_PULL_WITHIN_S = 60
# Of a Redis that somebody named, only the last of its 16 databases are used: the first may hold what is not ours.
_REDIS_DATABASES = 16
# A database for every test is many files to sync: several times as fast where no disk is asked.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a fresh directory in it
_MEMORY_NEEDED_BYTES = 4 * 2**30
_PREFIX = "engine-tests-"


@dataclass(frozen=True)
class Choice:
    """Where the servers come from, and why."""

    database_url: str | None
    redis_url: str | None
    docker: bool
    reason: str

    @property
    def sentence(self) -> str:
        """What the run's header says."""
        postgres = "from the environment" if self.database_url else self._made(POSTGRES_IMAGE)
        valkey = "from the environment" if self.redis_url else self._made(VALKEY_IMAGE)
        return f"PostgreSQL: {postgres}; Valkey: {valkey}"

    def _made(self, image: str) -> str:
        return f"{image} in Docker" if self.docker else f"from the wheel, since {self.reason}"


@dataclass(frozen=True)
class Share:
    """What one test process uses: a PostgreSQL server, the migrated database to clone there, a Redis of its own."""

    admin_url: str
    template: str
    redis_url: str


def choose(environ: Mapping[str, str]) -> Choice:
    """Decide for this run: what the environment names, containers where Docker has the images, else the wheels."""
    database_url = environ.get("TEST_DATABASE_URL") or environ.get("DATABASE_URL") or None
    redis_url = environ.get("TEST_REDIS_URL") or environ.get("REDIS_URL") or None
    if database_url and redis_url:
        return Choice(database_url, redis_url, docker=False, reason="")
    obstacle = obstacle_to_docker(POSTGRES_IMAGE, VALKEY_IMAGE)
    return Choice(database_url, redis_url, docker=obstacle is None, reason=obstacle or "")


def obstacle_to_docker(*images: str) -> str | None:
    """Return why containers of these images cannot be used, or None; pull what is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Docker's client warns of is not ours
        obstacle = _ask_docker(images)
        gc.collect()  # it leaves sockets open where nobody listens
    return obstacle


def _ask_docker(images: Sequence[str]) -> str | None:
    import docker
    import docker.errors
    import requests
    from testcontainers.core.config import testcontainers_config

    failures = (docker.errors.DockerException, requests.RequestException, OSError)
    try:
        client = docker.from_env(timeout=10)
        client.ping()
    except failures:
        return "Docker does not answer"
    reaper = [] if testcontainers_config.ryuk_disabled else [testcontainers_config.ryuk_image]
    deadline = time.monotonic() + _PULL_WITHIN_S
    try:
        for image in (*images, *reaper):
            try:
                _have(client, image, deadline)
            except failures:
                return f"Docker has no {image} and cannot pull it within {_PULL_WITHIN_S} s"
    finally:
        client.close()
    return None


def _have(client: Any, image: str, deadline: float) -> None:
    """Pull the image unless it is there. Raises TimeoutError and Docker's errors."""
    from docker.errors import ImageNotFound

    try:
        client.images.get(image)
    except ImageNotFound:
        name, tag = image.rsplit(":", 1)
        for _ in client.api.pull(name, tag, stream=True):
            if time.monotonic() > deadline:
                raise TimeoutError from None
        client.images.get(image)


def _memory_is_roomy() -> bool:
    return _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_NEEDED_BYTES


def _remove_leftovers(place: Path) -> None:
    """Remove what runs left that were killed: memory would not come back by itself."""
    if not Path("/proc/self").exists():
        return
    for old in place.glob(f"{_PREFIX}*"):
        pid = old.name.removeprefix(_PREFIX).split("-")[0]
        with suppress(OSError):  # another run may be at it as well
            if pid.isdigit() and not Path("/proc", pid).exists() and old.stat().st_uid == os.geteuid():
                shutil.rmtree(old, ignore_errors=True)


class Backends:
    """The servers of a run, started when somebody needs them and stopped by `close`."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._environ = environ
        self._running = ExitStack()
        self._shares = 0

    @cached_property
    def choice(self) -> Choice:
        """The decision of this run."""
        return choose(self._environ)

    def share(self) -> dict[str, str]:
        """Return, as plain values, the `Share` of one more test process."""
        self._shares += 1
        return asdict(Share(self._admin_url, self._template, self._redis_url(self._shares)))

    def close(self) -> None:
        """Stop and remove what was started and made."""
        self._running.close()

    @cached_property
    def _directory(self) -> Path:
        place = _MEMORY if _memory_is_roomy() else Path(tempfile.gettempdir())
        _remove_leftovers(place)
        prefix = f"{_PREFIX}{os.getpid()}-"
        return Path(self._running.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=place)))

    @cached_property
    def _admin_url(self) -> str:
        if self.choice.database_url:
            return self.choice.database_url
        if self.choice.docker:
            return self._running.enter_context(_postgres_container())
        return self._running.enter_context(servers.postgres(self._directory / "postgres"))

    @cached_property
    def _template(self) -> str:
        name = create_database(self._admin_url)
        self._running.callback(drop_database, self._admin_url, name)
        migrate(with_database(self._admin_url, name))
        return name

    def _redis_url(self, number: int) -> str:
        if self.choice.redis_url:
            return with_database(self.choice.redis_url, str(_REDIS_DATABASES - number % _REDIS_DATABASES))
        if self.choice.docker:
            return self._running.enter_context(_valkey_container())
        return self._running.enter_context(servers.valkey(self._directory / f"valkey-{number}"))


@contextmanager
def _postgres_container() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from testcontainers.community.postgres import PostgresContainer

        # Of its own, so that services start on it with ENV=production too.
        password = secrets.token_hex(8)
        container = PostgresContainer(POSTGRES_IMAGE, password=password, driver=None)
        container.with_command("postgres -c max_connections=200")
        if _memory_is_roomy():
            container.with_tmpfs_mount("/var/lib/postgresql")
        container.start()
    try:
        yield container.get_connection_url()
    finally:
        container.stop()


@contextmanager
def _valkey_container() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from testcontainers.community.redis import RedisContainer

        container = RedisContainer(VALKEY_IMAGE)
        container.start()
    try:
        yield f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
    finally:
        container.stop()
