"""The locks: complete, within the ranges that the packages ask for, hashed, of one mind, and silent about the index."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
SERVICES = ("api", "worker", "mockdex")
LOCKS = (*SERVICES, "common", "dev")
OURS = "engine-common"
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?==(?P<version>\S+)(\s*;\s*(?P<marker>[^\\]+?))?\s*\\?$")


@dataclass(frozen=True)
class Pin:
    """A line of a lock, and how many hashes follow it."""

    name: str
    version: Version
    marker: str
    hashes: int


def pins(lock: str) -> list[Pin]:
    """Read a lock; every line of it is a pin or a hash."""
    found: list[Pin] = []
    for line in (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if re.fullmatch(r"--hash=sha256:[0-9a-f]{64} ?\\?", stripped):
            last = found.pop()
            found.append(Pin(last.name, last.version, last.marker, last.hashes + 1))
            continue
        pin = _PIN.fullmatch(stripped)
        assert pin, f"{lock}.txt: {line}"
        found.append(Pin(canonicalize_name(pin["name"]), Version(pin["version"]), pin["marker"] or "", 0))
    return found


def project(path: str) -> Mapping[str, object]:
    return tomllib.loads((ROOT / path / "pyproject.toml").read_text())


def asked_by(path: str, *extras: str) -> Iterator[Requirement]:
    """Yield what a package asks for directly, with what its extras add; our own packages with what they ask for."""
    described = project(path)["project"]
    texts = [*described["dependencies"]]
    for extra in extras:
        texts += described["optional-dependencies"][extra]
    for requirement in map(Requirement, texts):
        if requirement.name == OURS:
            yield from asked_by("libs/common", *requirement.extras)
        else:
            yield requirement


def wanted(lock: str) -> list[Requirement]:
    if lock == "common":
        return list(asked_by("libs/common"))
    if lock != "dev":
        return list(asked_by(f"services/{lock}"))
    group = map(Requirement, project(".")["dependency-groups"]["dev"])
    packages = [*(f"services/{service}" for service in SERVICES), "libs/devstack"]
    return [*group, *(requirement for path in packages for requirement in asked_by(path))]


@pytest.mark.parametrize("lock", LOCKS)
def test_what_a_package_asks_for_is_pinned_within_its_range(lock: str) -> None:
    """A dependency that was added or raised without `make lock` shows here."""
    versions = {pin.name: pin.version for pin in pins(lock)}
    for requirement in wanted(lock):
        name = canonicalize_name(requirement.name)
        assert name in versions, f"requirements/{lock}.txt does not have {requirement}: run `make lock`"
        assert requirement.specifier.contains(versions[name], prereleases=True), f"{requirement}: run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_hashes_and_stands_once(lock: str) -> None:
    """Nothing is installed that was not seen when it was locked."""
    found = pins(lock)
    assert [pin.name for pin in found if not pin.hashes] == []
    assert len({(pin.name, pin.marker) for pin in found}) == len(found)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_on_the_versions_that_are_tested(service: str) -> None:
    """Its pins are those of the development lock."""
    tested = {(pin.name, pin.marker): pin.version for pin in pins("dev")}
    versions = {pin.name: pin.version for pin in pins("dev")}
    for pin in pins(service):
        assert pin.version == tested.get((pin.name, pin.marker), versions.get(pin.name)), pin


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_adds_to_the_common_lock_and_changes_nothing_of_it(service: str) -> None:
    """What all three share is one layer of their images; a service's own layer has only what it adds."""
    shared, own = ({(pin.name, pin.version, pin.marker) for pin in pins(lock)} for lock in ("common", service))
    assert shared <= own, "run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_says_nothing_about_where_packages_come_from(lock: str) -> None:
    """Any index will do, a company's mirror too."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text().lower()
    assert not re.search(r"https?:|--(extra-)?index|--find-links|--trusted|@ file|\bsimple/|\.org\b|\.com\b", text)


def test_one_version_of_uv_makes_environments_locks_and_images() -> None:
    """What is tested is installed as what is shipped."""
    (locked,) = [str(pin.version) for pin in pins("dev") if pin.name == "uv"]
    bootstrapped = re.findall(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    building = re.findall(r"^ARG UV_IMAGE=\S+:(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert (bootstrapped, building) == ([locked], [locked])


def test_mockdex_is_served_without_what_only_the_order_contract_needs() -> None:
    """It shares settings and telemetry, and nothing else."""
    assert {"psycopg", "redis", "dramatiq"} & {pin.name for pin in pins("mockdex")} == set()
