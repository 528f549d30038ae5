"""The JSON Schema: it takes what the loader takes, and refuses what can be told from one place alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.policy.document import read_document
from proxy.policy.schema import policy_schema, schema_text
from proxy.yaml_source import Mistakes
from tests.unit.policy.json_schema import problems
from tests.unit.policy.test_document import CASES, files_of

ROOT = Path(__file__).parents[3]
SCHEMA = policy_schema()
EXAMPLES = sorted(path for path in ROOT.glob("**/policies*/*.yaml") if ".venv" not in path.parts)


def caught(text: str) -> bool:
    """True if an editor would mark the file: because the schema refuses it, or because it is no YAML to it."""
    try:
        return bool(problems(yaml.safe_load(text), SCHEMA))
    except yaml.YAMLError:
        return True


def test_the_copy_in_policies_is_the_schema() -> None:
    """`dynamodb-proxy schema > policies/schema.json` mends this."""
    assert (ROOT / "policies" / "schema.json").read_text() == schema_text()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_are_valid(path: Path) -> None:
    """Whatever ships as a policy is valid by the schema."""
    assert problems(yaml.safe_load(path.read_text()), SCHEMA) == []


def test_the_examples_name_their_schema() -> None:
    """An editor that opens an example completes by the schema beside it."""
    for path in (ROOT / "policies").glob("*.yaml"):
        assert path.read_text().startswith("# yaml-language-server: $schema=schema.json\n")


@pytest.mark.parametrize("case", CASES, ids=[case["title"] for case in CASES])
def test_mistakes_that_one_place_shows_are_caught(case: dict[str, Any]) -> None:
    """Each case of the loader's table is caught, unless it is among those that need another place, or a meaning, to be seen."""
    is_caught = any(caught(text) for text in files_of(case).values())
    assert is_caught == (case["title"] not in NEED_MORE), case["title"]


def test_a_file_without_mistakes_is_valid() -> None:
    """The schema refuses nothing that the loader takes: the whole language in two files."""
    platform, team = (ROOT / "tests" / "cases" / name for name in ("language_platform.yaml", "language_team.yaml"))
    mistakes = Mistakes()
    read_document({"platform.yaml": platform.read_text(), "growth.yaml": team.read_text()}, mistakes)
    assert mistakes.errors == []
    for path in (platform, team):
        assert problems(yaml.safe_load(path.read_text()), SCHEMA) == []


# What other places say, what YAML hides, and what dates and numbers mean.
NEED_MORE = {
    "tables are the file's own",
    "a table like none is to be declared",
    "an index must be declared",
    "an index must be declared by each table of the rule",
    "an environment needs platform.yaml",
    "a deny rule's indexes must be declared too",
    "keys are in quotes, for YAML cuts them",
    "a placeholder of the environment needs one",
    "a DAG id that holds what ends it",
    "a DAG id that holds the first sign of what ends it",
    "two tables without a name have no key in common",
    "unmapped DAGs are of no team",
    "keys need a declared key",
    "a number has no prefix",
    "an index's number has no prefix",
    "keys with an index that is not declared",
    "an anchor is refused",
    "a tag is refused",
    "a merge key is refused",
    "a duplicate key is refused",
    "placeholders need what fills them",
    "a name for each environment needs environments",
    "a DAG has a role",
    "a DAG of a team without a role has one",
    "a team that there is not is told at its line",
    "a file of tables needs no team, and what it names no team's role",
    "a role's name needs an account",
    "a DAG is defined once over all files",
    "two globs that can name one DAG are refused",
    "a DAG's environments exist",
    "one platform file is enough",
    "with teams, a file with dags names its team",
    "a team stands in platform.yaml, or nothing bounds it",
    "a team of another name is no team",
    "a team's file cannot leave the environment's account",
    "a team's role with a mistake is told once",
    "the environment's setting must be set",
    "the environment's setting must be one of those there",
    "an environment is served only where it is declared",
    "without environments the Region comes from the settings",
    "one table has one key",
    "one table has one key, though the first file says none",
    "a year that no calendar has",
    "a day after the last one",
}
