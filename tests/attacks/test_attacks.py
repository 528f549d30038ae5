"""Every case of the corpora, against a real gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.attacks.verdict import error_type_of, hidden_in, problems_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.attacks.conftest import Testbeds
    from tests.attacks.corpus import Case
    from tests.attacks.testbed import Observation


def test_case(case: Case, testbeds: Testbeds, tally: Callable[..., None]) -> None:
    """A case ends as it says it must; a soft one is reported only."""
    with testbeds.bed_for(case) as bed:
        seen = bed.play(case)
        problems = problems_of(case, seen, bed)
    tally(case, problems, advice_on(case, seen))
    assert not problems or not case.is_hard, "\n  ".join([f"{case.id} {case.title}", *problems])


def advice_on(case: Case, seen: Observation) -> list[str]:
    """What is advice only: the name of the error."""
    wanted = case.outcomes[0].error_type
    got = {error_type_of(response) for conversation in seen.conversations for response in conversation.responses}
    return [f"`__type` is {', '.join(sorted(got))}, the corpus would have {wanted}"] if wanted and wanted not in got else []


def test_nothing_was_hidden(testbeds: Testbeds) -> None:
    """After all cases: nothing came late, each answer is on record once, and no log, audit or metric holds a secret."""
    assert hidden_in(testbeds.shared) == []
