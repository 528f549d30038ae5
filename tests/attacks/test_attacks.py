"""Every case of the corpora, against a real gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.attacks.testbed import FOLDER
from tests.attacks.verdict import error_type_of, leaks, problems_of, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.attacks.conftest import Testbeds
    from tests.attacks.corpus import Case
    from tests.attacks.testbed import Testbed


def test_case(
    case: Case,
    testbeds: Testbeds,
    shared: Testbed,
    waiting: frozenset[str],
    tally: Callable[..., None],
    request: pytest.FixtureRequest,
) -> None:
    """A case ends as it says it must; a soft one is reported only."""
    bed = testbeds.start() if case.needs_cold_start else shared
    seen = bed.play(case)
    problems = problems_of(case, seen, bed)
    wanted = case.outcomes[0].error_type
    got = {error_type_of(response) for conversation in seen.conversations for response in conversation.responses}
    advice = [f"`__type` is {', '.join(sorted(got))}, the corpus would have {wanted}"] if wanted and wanted not in got else []
    tally(case, problems, advice)
    if case.id in waiting:
        request.applymarker(pytest.mark.xfail(reason="waits for the whole language", strict=True))
    assert not problems or not case.is_hard, "\n  ".join([f"{case.id} {case.title}", *problems])


def test_nothing_was_hidden(testbeds: Testbeds, shared: Testbed) -> None:
    """After all cases: nothing came late, each answer is on record once, and no log, audit or metric holds a secret."""
    for bed in testbeds.all:
        secrets = secrets_of(bed, bed.tokens)
        assert list(leaks(bed.defender.metrics().encode(), secrets)) == []
        assert bed.defender.program.stop() == 0  # writes what waits; what was on its way has arrived or never will
        assert list(leaks(bed.defender.output(), secrets)) == []
        records = bed.defender.records()
        decisions = [record["id"] for record in records if record["record"] == "decision"]
        outcomes = [record for record in records if record["record"] == "outcome"]
        assert len(set(decisions)) == len(decisions)
        assert sorted(decisions) == sorted(record["id"] for record in outcomes)
        answered = {record["aws_request_id"] or record["id"] for record in outcomes if record["ending"] != "abandoned"}
        assert answered == bed.recorded
    assert shared.surroundings.canary.hits == 0
    assert shared.surroundings.newly_forwarded() == ()


def test_the_subset_is_gone_once_it_is_not_needed(policies: Path) -> None:
    """With the whole language there is nothing to wait for."""
    if policies.name == "policies":
        assert not (FOLDER / "policies_subset").exists()
        assert not (FOLDER / "waiting.txt").read_text().split()
