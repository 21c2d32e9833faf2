"""Lists of keys: how they are read, and how a key is found in them."""

import hashlib

import pytest

from engine_api.access.keys import ANYBODY, Caller, Keyring, KeysMalformed, digest, parse_hashed, parse_plain

A, B, C = (hashlib.sha256(key).hexdigest() for key in (b"key-a", b"key-b", b"key-c"))


def test_a_file_holds_an_account_and_a_hash_a_line() -> None:
    """Several keys an account, either case, with or without the name of the hash; comments and blanks say nothing."""
    text = f"# desks\n\ndesk-1:{A}\r\n  desk-1:{B.upper()}\nDesk_2.x:sha256:{C}\n\n"
    assert parse_hashed(text) == {digest(b"key-a"): "desk-1", digest(b"key-b"): "desk-1", digest(b"key-c"): "Desk_2.x"}


def test_an_empty_file_lets_nobody_in() -> None:
    """It is not the same as no file."""
    keyring = Keyring(parse_hashed("# none yet\n"))
    assert keyring.required
    assert keyring.find(b"") is None


@pytest.mark.parametrize(
    "line",
    [
        "desk",
        f":{A}",
        f"{A}",
        f"desk:{A[:-1]}",
        f"desk:{A}0",
        f"desk:md5:{A}",
        f"a:b:{A}",
        f"käse:{A}",
        f"{'a' * 65}:{A}",
        f"a b:{A}",
        f"desk:{A} # mine",
        f"desk\0:{A}",
        f"desk:{hashlib.sha256(b'').hexdigest()}",
    ],
)
def test_a_malformed_line_is_named_by_its_number_alone(line: str) -> None:
    """What stands there may be a secret."""
    with pytest.raises(KeysMalformed, match="line 2 ") as raised:
        parse_hashed(f"# first\n{line}\n")
    assert not any(part in str(raised.value) for part in ("desk", A[:20], "käse"))


def test_a_key_has_one_account() -> None:
    """The same line twice is harmless, the same key for two accounts is a mistake."""
    assert len(parse_hashed(f"a:{A}\na:{A}")) == 1
    with pytest.raises(KeysMalformed, match="line 2 repeats"):
        parse_hashed(f"a:{A}\nb:{A}")


def test_keys_for_development_are_plain() -> None:
    """And only their hashes are kept."""
    assert parse_plain("a:key-a, b:key:with:colons") == {digest(b"key-a"): "a", digest(b"key:with:colons"): "b"}


@pytest.mark.parametrize("text", ["", "a", "a:", ":key", "a:b,", "a b:c", "a:k y", "a:kéy"])
def test_a_malformed_entry_is_named_by_its_number_alone(text: str) -> None:
    """As in a file."""
    with pytest.raises(KeysMalformed, match=r"entry \d must be ACCOUNT:KEY"):
        parse_plain(text)


def test_a_key_is_found_by_nothing_but_itself() -> None:
    """Neither its hash, nor a part of it, nor the empty text opens anything."""
    keyring = Keyring({digest(b"key-a"): "a", digest(b"key-b"): "b"})
    assert keyring.find(b"key-a") == Caller("a", digest(b"key-a"))
    assert keyring.find(b"key-b") == Caller("b", digest(b"key-b"))
    for wrong in (b"", b"key-", b"key-a ", b"KEY-A", A.encode(), b"\xff", "ÿ".encode()):
        assert keyring.find(wrong) is None


def test_the_empty_key_opens_nothing() -> None:
    """Even if somebody has let it in."""
    assert Keyring({digest(b""): "a"}).find(b"") is None


def test_what_is_gone_or_changed_hands_is_revoked() -> None:
    """The rest stays in force, and nothing is revoked by giving new keys."""
    a, b, c = map(digest, (b"key-a", b"key-b", b"key-c"))
    keyring = Keyring({a: "one", b: "one"})
    assert keyring.replace({a: "one", b: "one", c: "two"}) == set()
    assert keyring.replace({b: "two", c: "two"}) == {a, b}
    assert not keyring.admits(Caller("one", a))
    assert not keyring.admits(Caller("one", b))
    assert keyring.admits(Caller("two", b))


def test_without_keys_everybody_is_the_default_account() -> None:
    """And nobody else is admitted as nobody once keys are on."""
    assert Keyring(None).admits(ANYBODY)
    assert not Keyring({}).admits(ANYBODY)
