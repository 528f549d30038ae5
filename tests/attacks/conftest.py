"""The option `--corpus FILE`, one testbed for the session, and a summary by category."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.attacks.corpus import read_corpus
from tests.attacks.defender import gateway
from tests.attacks.loopback import Loopback
from tests.attacks.testbed import FOLDER, Surroundings, Testbed, roles_in
from tests.attacks.tokens import Keyring
from tests.attacks.verdict import hidden_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.attacks.corpus import Case, Corpus

_CORPORA = (FOLDER / "corpus.yaml", FOLDER / "more.yaml")
_results: dict[str, Counter[str]] = {}
_advice: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take any corpus of the format."""
    parser.addoption("--corpus", action="append", type=Path, help="a corpus of attacks (default: those of tests/attacks)")


def _corpora(config: pytest.Config) -> list[Corpus]:
    own = read_corpus(_CORPORA[0])
    files = config.getoption("--corpus", default=None) or _CORPORA
    return [read_corpus(file, own.fixtures) for file in files]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each case."""
    if "case" in metafunc.fixturenames:
        cases = [case for corpus in _corpora(metafunc.config) for case in corpus.cases]
        metafunc.parametrize("case", cases, ids=[case.id for case in cases])


@pytest.fixture(scope="session")
def policies() -> Path:
    """The folder of the policies that the cases speak of."""
    return FOLDER / "policies"


class Testbeds:
    """One testbed that all cases share, and fresh ones for those that count what a cache would hide."""

    __test__ = False

    def __init__(self, stack: contextlib.ExitStack, surroundings: Surroundings, policies: Path, folder: Path) -> None:
        self._surroundings = surroundings
        self._policies = policies
        self._folders = (folder / str(number) for number in itertools.count())
        self.shared = stack.enter_context(self._start())

    @contextlib.contextmanager
    def bed_for(self, case: Case) -> Iterator[Testbed]:
        """The testbed of a case."""
        if not case.needs_cold_start:
            yield self.shared
            return
        with self._start() as bed:
            yield bed
            assert hidden_in(bed) == []

    @contextlib.contextmanager
    def _start(self) -> Iterator[Testbed]:
        with gateway(self._surroundings, next(self._folders), self._policies) as defender:
            yield Testbed(self._surroundings, defender, roles_in(self._policies))


@pytest.fixture(scope="session")
def testbeds(pytestconfig: pytest.Config, policies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Testbeds]:
    """Where testbeds come from."""
    with contextlib.ExitStack() as stack:
        surroundings = Surroundings(stack.enter_context(Loopback()), Keyring(), _corpora(pytestconfig)[0].fixtures)
        yield Testbeds(stack, surroundings, policies, tmp_path_factory.mktemp("gateways"))


@pytest.fixture(scope="session")
def tally() -> Callable[[Case, list[str], list[str]], None]:
    """Counts a verdict for the summary."""

    def count(case: Case, problems: list[str], advice: list[str]) -> None:
        result = "passed" if not problems else "failed" if case.is_hard else "soft"
        _results.setdefault(case.category, Counter())[result] += 1
        _advice.extend(f"{case.id}: {line}" for line in advice)

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each category, and what is only advice."""
    if not _results:
        return
    terminalreporter.section("attacks by category")
    for category, found in sorted(_results.items()):
        terminalreporter.write_line(_line(category, found))
    terminalreporter.write_line(_line("in all", sum(_results.values(), Counter())))
    for line in _advice:
        terminalreporter.write_line(f"advice: {line}")


def _line(category: str, found: Counter[str]) -> str:
    others = ((found["failed"], "failed"), (found["soft"], "soft ones not met"))
    told = "".join(f", {number} {what}" for number, what in others if number)
    return f"{category:16} {found['passed']:3} of {found.total():3} passed{told}"
