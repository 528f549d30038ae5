"""`python -m tests.mutants`: of the mutants of `proxy.policy` and `proxy.dynamodb`, which are killed by a test, which survive.

The tests are collected and run once, which says which of them runs which line. Each mutant of a function's body is put in
its place in a fork, and tried by the tests of its line, the quickest first; what stands outside of functions is tried by all
tests, file by file, in a fork that imports the changed module. A sample is drawn with a fixed seed. A survivor is named in
`survivors.yaml` with the reason why it may live; it counts as alive all the same. Exit status 1 where less than 95 % of the
mutants of either folder are killed, or a survivor has no reason.
"""

from __future__ import annotations

import argparse
import gc
import importlib.abc
import importlib.util
import os
import random
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
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
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import ModuleType

    Place = tuple[str, str, int]  # file, name and first line of a function

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("proxy/policy", "proxy/dynamodb")
TESTS = (
    "tests/unit/policy",
    "tests/unit/dynamodb",
    "tests/unit/test_authoring.py",
    "tests/unit/test_entitlement.py",
    "tests/unit/test_oracle.py",
)
SURVIVORS = Path(__file__).with_name("survivors.yaml")
GOAL = 0.95
# What becomes of a mutant. From KILLED on: by which of the files of tests that were tried.
ALIVE, STOPPED, BROKEN, KILLED = 0, 1, 2, 3  # BROKEN: it breaks even what runs the tests
_MEMORY = 4 << 30  # bytes; a loop that gathers without end is stopped
_QUIET = ("-q", "-p", "no:cacheprovider", "-p", "no:cov")


class Tried:
    """A plugin of pytest: in the place of a run, mutants are tried."""

    def __init__(self, mutants: Sequence[Mutant], reasons: dict[str, str]) -> None:
        self._mutants = mutants
        self._reasons = reasons
        self._seconds: dict[str, float] = {}  # of CPU, by test
        self._killers: Counter[str] = Counter()  # files of tests, by how many mutants they killed
        self.alive: list[Mutant] = []
        self.stopped: list[Mutant] = []  # killed by taking far longer than the tests do

    def pytest_configure(self) -> None:
        """Generated inputs are the same each time, and take what time a busy machine needs."""
        import hypothesis  # pytest must see it first, or warns

        hypothesis.settings.register_profile("mutants", deadline=None, derandomize=True, database=None)
        hypothesis.settings.load_profile("mutants")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All tests once, then the mutants."""
        items = {item.nodeid: item for item in session.items}
        tests_of = self._recorded(session.items)
        loaded = Loaded()
        started = time.monotonic()
        for number, mutant in enumerate(self._mutants, 1):
            chosen = sorted(tests_of.get((str(mutant.path), mutant.line), ()), key=self._seconds.__getitem__)
            codes = loaded.changed_codes(mutant)
            fate = self._in_place(loaded, codes, [items[test] for test in chosen]) if codes and chosen else self._anew(mutant)
            self._note(mutant, fate)
            if number % 10 == 0:
                print(
                    f"{number} of {len(self._mutants)}, {len(self.alive)} alive, {time.monotonic() - started:.0f} s", flush=True
                )
        return True

    def _note(self, mutant: Mutant, fate: int) -> None:
        if fate == STOPPED:
            self.stopped.append(mutant)
        if fate == ALIVE:
            self.alive.append(mutant)
            argued = "argued  " if mutant.name in self._reasons else "SURVIVES"
            print(f"{argued} {mutant.path.name}:{mutant.line} {mutant.name}", flush=True)

    def _in_place(self, loaded: Loaded, codes: dict[Place, CodeType], items: Sequence[pytest.Item]) -> int:
        """By the tests of its line, in a fork of this process."""

        def fate() -> int:
            loaded.put(codes)
            return KILLED if any(_falls(item, None) for item in items) else ALIVE

        return _in_fork(fate, self._limit(item.nodeid for item in items))

    def _anew(self, mutant: Mutant) -> int:
        """By all files of tests, the likeliest first, in a fork that forgets the package and its tests."""
        _, folder, own = mutant.path.relative_to(ROOT).parts

        def likely(file: str) -> tuple[bool, bool, int]:
            return file.endswith(f"/{folder}/test_{own}"), f"/{folder}/" in file, self._killers[f"{own}: {file}"]

        files = sorted({test.partition("::")[0] for test in self._seconds}, key=likely, reverse=True)

        def fate() -> int:
            for name in [name for name in sys.modules if name.partition(".")[0] in ("proxy", "tests") and "mutants" not in name]:
                del sys.modules[name]
            sys.meta_path.insert(0, _Mutated(mutant))
            return next((KILLED + place for place, file in enumerate(files) if pytest.main([*_QUIET, "-x", file]) != 0), ALIVE)

        found = _in_fork(fate, self._limit(self._seconds))
        if found >= KILLED:
            self._killers[f"{own}: {files[found - KILLED]}"] += 1
        return found

    def _limit(self, tests: Iterable[str]) -> float:
        return 10 + 3 * sum(map(self._seconds.__getitem__, tests))

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


class Loaded:
    """The functions of this process, and what they keep. All that is there now is never looked at by the collector again."""

    def __init__(self) -> None:
        self._functions: defaultdict[Place, list[FunctionType]] = defaultdict(list)
        self._caches = []
        gc.collect()
        for one in gc.get_objects():
            if isinstance(one, FunctionType) and one.__code__.co_filename.startswith(str(ROOT)):
                self._functions[_place(one.__code__)].append(one)
            elif isinstance(one, _lru_cache_wrapper):
                self._caches.append(one)
        gc.freeze()

    def changed_codes(self, mutant: Mutant) -> dict[Place, CodeType]:
        """The functions in which the mutant differs, an outer one for all that is in it. None for what runs at import only.

        None also where one that stands already would see other variables of its outer function: Python puts no such code in.
        """
        before = compile(mutant.path.read_text(), str(mutant.path), "exec")
        differing = list(_differing(before, mutant.code()))
        if any(code is None and place in self._functions for place, code in differing):
            return {}
        codes = {place: code for place, code in differing if code is not None}
        return codes if any(place in self._functions for place in codes) else {}

    def put(self, codes: dict[Place, CodeType]) -> None:
        """Change these functions, and forget what was kept of the unchanged ones."""
        for place, code in codes.items():
            for function in self._functions.get(place, ()):
                function.__code__ = code
        for kept in self._caches:
            kept.cache_clear()


def _place(code: CodeType) -> Place:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _differing(before: CodeType, after: CodeType) -> Iterator[tuple[Place, CodeType | None]]:
    for old, new in zip(_inner(before), _inner(after), strict=False):
        if old == new:
            continue
        if old.co_flags & 0x1:  # OPTIMIZED: a function, not the body of a class
            yield _place(old), new if old.co_freevars == new.co_freevars else None
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


def _in_fork(fate: Callable[[], int], seconds: float) -> int:
    """What becomes of a mutant that is tried in a process of its own, which has `seconds` of CPU for it."""
    child = os.fork()
    if child == 0:
        status = BROKEN
        try:
            signal.setitimer(signal.ITIMER_PROF, seconds)
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            status = fate()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return STOPPED if os.WTERMSIG(status) == signal.SIGPROF else BROKEN
    return os.WEXITSTATUS(status)


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
    return 0 if _told(tried, mutants, reasons) else 1


def _told(tried: Tried, mutants: Sequence[Mutant], reasons: dict[str, str]) -> bool:
    """Print the figures. Whether they reach the goal, which takes no account of reasons, and no survivor lacks one."""
    shares = []
    for folder in (*FOLDERS, ""):
        drawn = [mutant for mutant in mutants if folder in str(mutant.path)]
        alive = [mutant for mutant in tried.alive if folder in str(mutant.path)]
        argued = [mutant for mutant in alive if mutant.name in reasons]
        if drawn:
            shares.append(1 - len(alive) / len(drawn))
            killed, lacking = len(drawn) - len(alive), len(alive) - len(argued)
            print(f"{folder or 'both'}: {len(drawn)} tried, {killed} killed ({shares[-1]:.1%});", end=" ")
            print(f"{len(argued)} of the {len(alive)} alive are argued, {lacking} are not;", end=" ")
            print(f"without the argued ones {killed / max(1, len(drawn) - len(argued)):.1%} are killed")
    print(f"{len(tried.stopped)} of the killed took far longer than the tests do, and were stopped")
    return min(shares, default=1.0) >= GOAL and all(mutant.name in reasons for mutant in tried.alive)


if __name__ == "__main__":
    sys.exit(main())
