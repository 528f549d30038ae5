"""`python -m tests.mutants`: of the mutants of `proxy.policy` and `proxy.dynamodb`, which are killed by a test, which survive.

The tests are collected and run once, which says which of them runs which line. Each mutant of a function's body is put in
its place in a fork, and tried by the tests of its line, the quickest first; what stands outside of functions is tried by all
tests in a process that imports the changed module. A sample is drawn with a fixed seed. A survivor is named in
`survivors.yaml` with the reason why it may live. Exit status 1 where less than 95 % are killed, or a survivor has no reason.
"""

from __future__ import annotations

import argparse
import gc
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from functools import _lru_cache_wrapper
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import coverage
import pytest
import yaml
from _pytest.runner import runtestprotocol

from tests.mutants.changes import Mutant, mutants_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("proxy/policy", "proxy/dynamodb")
TESTS = ("tests/unit/policy", "tests/unit/dynamodb")
SURVIVORS = Path(__file__).with_name("survivors.yaml")
GOAL = 0.95
_SECONDS = 60  # of CPU for one mutant; one that takes longer hangs, which a test would show
_QUIET = ("-q", "-p", "no:cacheprovider", "-p", "no:cov")


class Tried:
    """A plugin of pytest: in the place of a run, mutants are tried."""

    def __init__(self, mutants: Sequence[Mutant], reasons: dict[str, str]) -> None:
        self._mutants = mutants
        self._reasons = reasons
        self._seconds: dict[str, float] = {}
        self.alive: list[Mutant] = []

    def pytest_configure(self) -> None:
        """Generated inputs are the same each time, and take what time a busy machine needs."""
        import hypothesis  # pytest must see it first, or warns

        hypothesis.settings.register_profile("mutants", deadline=None, derandomize=True, database=None)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All tests once, then the mutants."""
        items = {item.nodeid: item for item in session.items}
        tests_of = self._recorded(session.items)
        started = time.monotonic()
        for number, mutant in enumerate(self._mutants, 1):
            chosen = sorted(tests_of.get((str(mutant.path), mutant.line), ()), key=self._seconds.__getitem__)
            killed = _is_killed_in_place(mutant, [items[test] for test in chosen])
            if not (_is_killed_anew(mutant) if killed is None else killed):
                self.alive.append(mutant)
                argued = "argued  " if mutant.name in self._reasons else "SURVIVES"
                print(f"{argued} {mutant.path.name}:{mutant.line} {mutant.name}", flush=True)
            if number % 10 == 0:
                print(
                    f"{number} of {len(self._mutants)}, {len(self.alive)} alive, {time.monotonic() - started:.0f} s", flush=True
                )
        return True

    def _recorded(self, items: list[pytest.Item]) -> dict[tuple[str, int], set[str]]:
        """Which tests run which line of which file."""
        recorder = coverage.Coverage(data_file=None, config_file=False, include=[f"{ROOT / folder}/*" for folder in FOLDERS])
        recorder.start()
        for item, after in zip(items, [*items[1:], None], strict=True):
            recorder.switch_context(item.nodeid)
            before = time.process_time()
            if _falls(item, after):
                print(f"left out, for it falls without any mutant: {item.nodeid}")
            else:
                self._seconds[item.nodeid] = time.process_time() - before
        recorder.stop()
        data = recorder.get_data()
        return {
            (file, line): {test for test in tests if test in self._seconds}
            for file in data.measured_files()
            for line, tests in data.contexts_by_lineno(file).items()
        }


def _falls(item: pytest.Item, after: pytest.Item | None) -> bool:
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=after))


# ---------------------------------------------------------------------------------------------- in their place


def _is_killed_in_place(mutant: Mutant, items: Sequence[pytest.Item]) -> bool | None:
    """By the tests of its line, in a fork of this process. None where it cannot be put into its place, or runs at import only."""
    codes = _changed_codes(mutant)
    functions = [one for one in gc.get_objects() if isinstance(one, FunctionType) and _place(one.__code__) in codes]
    if not functions or not items:
        return None

    def is_killed() -> bool:
        for function in functions:
            function.__code__ = codes[_place(function.__code__)]
        for kept in gc.get_objects():
            if isinstance(kept, _lru_cache_wrapper):
                kept.cache_clear()
        return any(_falls(item, None) for item in items)

    return _in_fork(is_killed)


def _place(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _changed_codes(mutant: Mutant) -> dict[tuple[str, str, int], CodeType]:
    """The functions in which the mutant differs, an outer one for all that is in it."""
    before = compile(mutant.path.read_text(), str(mutant.path), "exec")
    return dict(_differing(before, mutant.code()))


def _differing(before: CodeType, after: CodeType) -> Iterator[tuple[tuple[str, str, int], CodeType]]:
    for old, new in zip(_inner(before), _inner(after), strict=False):
        if old == new:
            continue
        if old.co_freevars == new.co_freevars and old.co_flags & 0x1:  # OPTIMIZED: a function, not the body of a class
            yield _place(old), new
        yield from _differing(old, new)


def _inner(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


# --------------------------------------------------------------------------------------------- imported anew


class _Mutated(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the changed module to whoever imports it."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        """For the one module."""
        if fullname != self._mutant.module:
            return None
        return importlib.util.spec_from_file_location(fullname, self._mutant.path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """The changed text in the place of the file's."""
        exec(self._mutant.code(), module.__dict__)  # noqa: S102 - the code is this repository's


def _is_killed_anew(mutant: Mutant) -> bool:
    """By all tests, its own module's first, in a fork that forgets the package and its tests."""

    def is_killed() -> bool:
        for name in [name for name in sys.modules if name.partition(".")[0] in ("proxy", "tests") and "mutants" not in name]:
            del sys.modules[name]
        sys.meta_path.insert(0, _Mutated(mutant))
        _, folder, file = mutant.path.relative_to(ROOT).parts
        own = [test for test in (f"tests/unit/{folder}/test_{file}",) if (ROOT / test).exists()]
        return any(pytest.main([*_QUIET, "-x", *tests]) != 0 for tests in (own, TESTS) if tests)

    return _in_fork(is_killed)


def _in_fork(is_killed: Any) -> bool:
    child = os.fork()
    if child == 0:
        status = 1  # also where the change itself breaks what runs the tests
        try:
            signal.setitimer(signal.ITIMER_PROF, _SECONDS)
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            status = int(is_killed())
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return status != 0


# ------------------------------------------------------------------------------------------------ the command


def chosen(options: argparse.Namespace) -> list[Mutant]:
    """The mutants to try: those of the modules asked for, or a sample of them."""
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).glob("*.py"))]
    found: list[Mutant] = []
    for file in files:
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        if not options.modules or module in options.modules:
            found += mutants_of(file, module)
    found = [mutant for mutant in found if options.name in mutant.name]
    print(f"{len(found)} mutants", flush=True)
    return found if options.sample >= len(found) else random.Random(options.seed).sample(found, options.sample)


def main() -> int:
    """Try the mutants, and print those that survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", help="modules to change, as proxy.policy.rules (default: all)")
    parser.add_argument("--sample", type=int, default=400, help="how many mutants are drawn (default: 400)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--name", default="", help="only mutants whose name holds this")
    options = parser.parse_args()
    os.chdir(ROOT)
    reasons: dict[str, str] = (yaml.safe_load(SURVIVORS.read_text()) or {}) if SURVIVORS.exists() else {}
    mutants = chosen(options)
    tried = Tried(mutants, reasons)
    if pytest.main([*TESTS, *_QUIET, "-s"], plugins=[tried]) not in (0, 5):
        sys.exit("the mutants could not be tried")
    share = 1 - len(tried.alive) / max(1, len(mutants))
    unargued = [mutant for mutant in tried.alive if mutant.name not in reasons]
    print(f"{len(mutants)} tried, {len(mutants) - len(tried.alive)} killed ({share:.1%}), {len(unargued)} without a reason")
    return 1 if share < GOAL or unargued else 0


if __name__ == "__main__":
    sys.exit(main())
