import json
import re

import pytest
from solders.keypair import Keypair

from kindstack import credentials
from kindstack.faults import SecretUnusable
from kindstack.kubectl import Kubectl

from .conftest import Programs

KEYS = ("wallet-key", "postgres-password", "valkey-password", "mockdex-admin-token")
NO_OBJECTS = {"items": []}


def test_the_secret_is_random_and_fits_in_a_url() -> None:
    """The wallet's key is a keypair as Solana's tools write it."""
    first, second = (credentials.manifest("n")["stringData"] for _ in range(2))
    assert set(first) == set(KEYS)
    assert len(bytes(Keypair.from_base58_string(first["wallet-key"]))) == 64
    for key in KEYS:
        assert first[key] != second[key]
        assert key == "wallet-key" or re.fullmatch("[0-9a-f]{48}", first[key])


async def test_the_secret_is_made_without_its_values_in_a_command_line(programs: Programs) -> None:
    """Command lines can be read by every user of the machine."""
    programs.answer("persistentvolumeclaims", NO_OBJECTS)
    assert await credentials.ensure(Kubectl("c"), "n", "r")
    made = json.loads(programs.stdin_of("create"))["stringData"]
    assert not any(value in call for value in made.values() for call in programs.calls)


async def test_a_secret_that_is_there_is_never_touched(programs: Programs) -> None:
    """The volumes' password is in it."""
    programs.answer("get secret", {"data": dict.fromkeys(KEYS, "eA==")})
    assert not await credentials.ensure(Kubectl("c"), "n", "r")
    assert len(programs.calls) == 1


async def test_a_secret_that_lacks_a_key_is_told_by_the_key(programs: Programs) -> None:
    """Before pods fail for it."""
    programs.answer("get secret", {"data": dict.fromkeys(KEYS[1:], "eA==")})
    with pytest.raises(SecretUnusable, match=r"^Secret order-engine-secrets in namespace n has no wallet-key: add"):
        await credentials.ensure(Kubectl("c"), "n", "r")


async def test_no_new_password_is_made_for_a_volume_that_has_one(programs: Programs) -> None:
    """The database would refuse it."""
    programs.answer("persistentvolumeclaims", {"items": [{"metadata": {"name": "data-order-engine-postgres-0"}}]})
    with pytest.raises(SecretUnusable, match="delete pvc data-order-engine-postgres-0`"):
        await credentials.ensure(Kubectl("c"), "n", "r")
    assert not any(" create " in call for call in programs.calls)


async def test_somebody_who_was_faster_is_no_error(programs: Programs) -> None:
    """Their Secret counts."""
    programs.answer("persistentvolumeclaims", NO_OBJECTS)
    programs.answer(" create ", status=1, err='Error from server (AlreadyExists): secrets "x" already exists')
    assert not await credentials.ensure(Kubectl("c"), "n", "r")
