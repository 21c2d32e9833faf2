"""API keys: whose they are. Of a key nothing is kept but its SHA-256."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from hmac import compare_digest
from typing import NamedTuple

from engine_common.orders import DEFAULT_ACCOUNT

Digests = Mapping[bytes, str]
"""The account of each key, by the key's SHA-256."""

# Accounts stand in the names of Redis channels between colons.
_account = re.compile(r"[A-Za-z0-9._-]{1,64}")
_hexadecimal = re.compile(r"(?:sha256:)?([0-9A-Fa-f]{64})")
_plain = re.compile(r"[!-~]+")

# Bytes of a digest by which it is looked up; equal or not is then decided in constant time, on the whole of it.
_PREFIX = 8


class KeysMalformed(ValueError):
    """A list of keys cannot be read; the message says where, never what stands there."""


class Caller(NamedTuple):
    """Who asks: the account, and the SHA-256 of its key; None while keys are off."""

    account: str
    key: bytes | None


ANYBODY = Caller(DEFAULT_ACCOUNT, None)


def digest(key: bytes) -> bytes:
    """Return what is kept of the key."""
    return hashlib.sha256(key).digest()


_OF_NOTHING = digest(b"")


def parse_hashed(text: str) -> Digests:
    """Read one `account:sha256hex` a line; `#` begins a comment. Raises KeysMalformed."""
    return _collect(
        (f"line {number}", _hashed(line, number))
        for number, line in enumerate(map(str.strip, text.split("\n")), start=1)
        if line and not line.startswith("#")
    )


def parse_plain(text: str) -> Digests:
    """Read `account:key,account:key`. Raises KeysMalformed."""
    return _collect(
        (f"entry {number}", _named(entry.strip(), number)) for number, entry in enumerate(text.split(","), start=1)
    )


def _hashed(line: str, number: int) -> tuple[bytes, str]:
    account, _, rest = line.partition(":")
    found = _hexadecimal.fullmatch(rest.strip())
    if found is None or not _account.fullmatch(account):
        raise KeysMalformed(f"line {number} must be ACCOUNT:SHA256 (1-64 of A-Za-z0-9._-, then 64 hexadecimal digits)")
    key = bytes.fromhex(found[1])
    if key == _OF_NOTHING:
        raise KeysMalformed(f"line {number} has the SHA-256 of nothing: the variable with the key was empty")
    return key, account


def _named(entry: str, number: int) -> tuple[bytes, str]:
    account, _, key = entry.partition(":")
    if not _account.fullmatch(account) or not _plain.fullmatch(key):
        raise KeysMalformed(f"entry {number} must be ACCOUNT:KEY (1-64 of A-Za-z0-9._-, then visible ASCII)")
    return digest(key.encode()), account


def _collect(entries: Iterable[tuple[str, tuple[bytes, str]]]) -> Digests:
    digests: dict[bytes, str] = {}
    for place, (key, account) in entries:
        if digests.setdefault(key, account) != account:
            raise KeysMalformed(f"{place} repeats the key of another account")
    return digests


class Keyring:
    """The keys in force; None instead of digests: keys are off, and everybody is the default account."""

    def __init__(self, digests: Digests | None) -> None:
        self.required = digests is not None
        self._accounts: Digests = {}
        self._by_prefix: dict[bytes, bytes] = {}
        self.replace(digests or {})

    def replace(self, digests: Digests) -> set[bytes]:
        """Put other keys in force; return those that are no longer, or no longer their account's."""
        revoked = {key for key, account in self._accounts.items() if digests.get(key) != account}
        self._accounts = dict(digests)
        self._by_prefix = {key[:_PREFIX]: key for key in digests}
        return revoked

    def find(self, key: bytes) -> Caller | None:
        """Return whose key it is, in a time that depends neither on the key nor on how many there are."""
        given = digest(key)
        known = self._by_prefix.get(given[:_PREFIX])
        if not key or known is None or not compare_digest(known, given):
            return None
        return Caller(self._accounts[known], known)

    def admits(self, caller: Caller) -> bool:
        """Tell whether the caller's key is still in force."""
        if caller.key is None:
            return not self.required
        return self._accounts.get(caller.key) == caller.account
