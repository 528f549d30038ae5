"""Key files and what is made from their keys."""

from __future__ import annotations

import base64

import pytest

from proxy.keyring import derived, read_keys, written_key


def test_keys_are_read_one_a_line() -> None:
    """The first seals; blank lines do not count."""
    first, second = bytes(range(32)), bytes(32)
    text = f"{base64.b64encode(first).decode()}\n\n{base64.b64encode(second).decode()}\n"
    assert read_keys(text) == (first, second)


@pytest.mark.parametrize("text", ["", "\n", "not base64!\n", "c2hvcnQ=\n"])
def test_a_key_file_that_cannot_be_used_says_how_to_make_a_key(text: str) -> None:
    """No key is shown, and none is made up."""
    with pytest.raises(ValueError, match="openssl rand -base64 32") as caught:
        read_keys(text)
    assert "short" not in str(caught.value)


def test_a_written_key_is_read_again() -> None:
    """What the gateway writes for itself has the form that it reads."""
    assert read_keys(written_key(bytes(range(32)))) == (bytes(range(32)),)


def test_each_purpose_has_a_key_of_its_own() -> None:
    """Neither the purpose nor what it is about can be told apart from the other's by length alone."""
    key = bytes(32)
    made = {derived(key, purpose, about) for purpose in (b"a", b"b") for about in (b"", b"1", b"2")}
    assert {len(one) for one in made} == {32}
    assert len(made) == 6
