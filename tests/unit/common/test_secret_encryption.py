"""Encryption of stored secrets: keys, owners, a change of the key."""

import pytest

from common.secret_encryption import SecretUnreadable, decrypt, encrypt, parsed_keys

OLD, NEW = "o" * 32, "n" * 32


def test_a_secret_is_read_with_the_key_and_for_the_owner_alone() -> None:
    stored = encrypt("whsec_abc", [OLD], b"owner")
    assert b"whsec" not in stored
    assert decrypt(stored, [OLD], b"owner") == "whsec_abc"
    for keys, owner in (([NEW], b"owner"), ([OLD], b"other"), ([], b"owner")):
        with pytest.raises(SecretUnreadable):
            decrypt(stored, keys, owner)


def test_a_changed_key_reads_what_the_old_one_has_encrypted() -> None:
    stored = encrypt("a", [OLD], b"x")
    assert decrypt(stored, [NEW, OLD], b"x") == "a"
    assert decrypt(encrypt("b", [NEW, OLD], b"x"), [NEW], b"x") == "b"


@pytest.mark.parametrize("position", [0, 1, 5, 20, -1])
def test_a_changed_byte_is_found(position: int) -> None:
    stored = bytearray(encrypt("secret", [OLD], b"x"))
    stored[position] ^= 1
    with pytest.raises(SecretUnreadable):
        decrypt(bytes(stored), [OLD], b"x")


def test_the_same_secret_is_never_stored_twice_alike() -> None:
    assert encrypt("a", [OLD], b"x") != encrypt("a", [OLD], b"x")


def test_short_keys_are_refused() -> None:
    assert parsed_keys(f" {OLD} , {NEW},") == [OLD, NEW]
    with pytest.raises(ValueError, match="at least 32 characters"):
        parsed_keys("short")
