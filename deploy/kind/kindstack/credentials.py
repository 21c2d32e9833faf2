"""The Secret of the release: made once with random values, and never changed."""

import secrets
from typing import Any

from kindstack.faults import ProgramFailed, SecretUnusable
from kindstack.kubectl import Kubectl

NAME = "order-engine-secrets"
_BYTES = 24
# Hexadecimal, so that they need no escaping in a URL.
_PASSWORDS = ("postgres-password", "valkey-password", "mockdex-admin-token")
_WALLET = "wallet-key"


async def ensure(kubectl: Kubectl, namespace: str, release: str) -> bool:
    """Make the Secret when it is missing; tell whether it was made now.

    Raises SecretUnusable when it lacks a key, or is gone while a volume needs the password that was in it.
    """
    found = await kubectl.one("secret", NAME, "--namespace", namespace)
    if found is not None:
        lacking = sorted({_WALLET, *_PASSWORDS} - set(found.get("data") or ()))
        if lacking:
            raise SecretUnusable(
                f"Secret {NAME} in namespace {namespace} has no {', '.join(lacking)}: add what is missing with "
                f"`kubectl -n {namespace} edit secret {NAME}`, or delete it to have it made anew."
            )
        return False
    await _refuse_orphaned_volumes(kubectl, namespace, release)
    try:
        await kubectl.create(manifest(namespace))
    except ProgramFailed as error:
        if "AlreadyExists" in error.said:  # somebody else was faster, and that one counts
            return False
        raise
    return True


def manifest(namespace: str) -> dict[str, Any]:
    """Return the Secret with fresh random values."""
    values = {name: secrets.token_hex(_BYTES) for name in _PASSWORDS}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAME, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "order-engine"}},
        "type": "Opaque",
        "stringData": {_WALLET: wallet_key(), **values},
    }


def wallet_key() -> str:
    """Return a fresh ed25519 keypair in base58, as Solana's tools write it."""
    from solders.keypair import Keypair

    return str(Keypair())


async def _refuse_orphaned_volumes(kubectl: Kubectl, namespace: str, release: str) -> None:
    ours = f"app.kubernetes.io/instance={release},app.kubernetes.io/component=postgres"
    claims = await kubectl.items("persistentvolumeclaims", "--namespace", namespace, "--selector", ours)
    databases = [claim["metadata"]["name"] for claim in claims]
    if databases:
        raise SecretUnusable(
            f"Secret {NAME} is gone from namespace {namespace}, but the database on volume {databases[0]} still has "
            "the password that was in it: restore the Secret, or give the data up with "
            f"`kubectl -n {namespace} delete pvc {' '.join(databases)}`."
        )
