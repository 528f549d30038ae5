"""Damaged bytes are taken or refused, by every reader of what comes from outside; `make fuzz` goes on where this ends."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import READERS, damaged, feed

INPUTS = dict.fromkeys(READERS, 4000)


@pytest.mark.parametrize("name", READERS)
def test_damaged_bytes_are_taken_or_refused(name: str) -> None:
    """Nothing but a Refusal, or mistakes of the policy, comes of bytes that nobody meant."""
    reader = READERS[name]
    taken = sum(feed(name, damaged(reader, random.Random(f"0 {name} {number}"))) for number in range(INPUTS[name]))
    assert taken > INPUTS[name] / 100  # some damage leaves an input whole, or nothing behind the first byte was read


@pytest.mark.parametrize("name", READERS)
def test_good_inputs_are_taken(name: str) -> None:
    """What is damaged was good before: most seeds pass."""
    seeds = READERS[name].seeds
    assert sum(feed(name, seed) for seed in seeds) > len(seeds) / 4
