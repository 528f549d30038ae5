"""Pieces of policy files as the tools write them: whatever reads them takes them for the same text."""

from __future__ import annotations

import pytest
import yaml

from proxy.policy.written import flow_list, key_limit, scalar


@pytest.mark.parametrize("word", ["y", "n", "yes", "no", "on", "off", "true", "false", "null"])
def test_words_that_mean_more_are_in_quotes(word: str) -> None:
    """Other readers of YAML take them for true, false or nothing, in whichever case."""
    assert flow_list((word, word.upper(), f"{word}1")) == f'["{word}", "{word.upper()}", {word}1]'


@pytest.mark.parametrize(
    "text", ["orders", "a-b_C1", "1st", "", "a b", "<dag_id>#", "a:b", "#x", "~", 'say "so"', "two\nlines", "é", "\x07"]
)
def test_every_text_is_read_back(text: str) -> None:
    """As the very same text."""
    assert yaml.safe_load(scalar(text)) == text


def test_keys_are_one_mapping_or_a_list() -> None:
    """A mapping has room for one prefix; exact keys share theirs."""
    assert key_limit([(False, "a"), (True, "p"), (False, "b")]) == '{exact: ["a", "b"], prefix: "p"}'
    assert key_limit([(True, "p"), (True, "q")]) == '[{prefix: "p"}, {prefix: "q"}]'
    assert key_limit([(True, "p"), (True, "q"), (False, "a")]) == '[{exact: ["a"]}, {prefix: "p"}, {prefix: "q"}]'
    assert key_limit([(False, "é")]) == '{exact: ["é"]}'
