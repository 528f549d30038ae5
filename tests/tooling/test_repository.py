"""What must not stand in any tracked file, and what must stand in the locks."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.coverage_floors import below_floors
from tests.left_out import describe, read
from tests.stack.parts import PARTS

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))

# Written in pieces, so that this file does not hold what it looks for.
FORBIDDEN = {
    "an address of a package registry": re.compile(
        r"(?:--?(?:extra-)?index-url|--find-links|--trusted-host|\bregistry|\"resolved\")[ =:\"']+(?:\w+://|/)|://[^\s/\"']*/simple\b"
        r"|files\.python" + r"hosted\.org|registry\.npm" + r"js\.org|://pypi" + r"\.org/(?!project/)"
    ),
    "a path of one machine": re.compile(r"(?<![\w.$}])/(?:ho" + r"me|Users|ro" + r"ot|wo" + r"rk)/[\w.-]+"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIV" + r"ATE KEY-----(?:\s|\\n|[\"'])*[A-Za-z0-9+/=]{40}"),
}


def tracked() -> list[Path]:
    """Every file that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.needs("git")
@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_holds(what: str) -> None:
    """The project builds wherever its registries are reached, under whatever name, and carries no secret."""
    texts = ((file.relative_to(ROOT), file.read_text(errors="replace")) for file in tracked())
    hits = ((file, text, hit) for file, text in texts for hit in FORBIDDEN[what].finditer(text))
    assert [f"{file}:{text.count(chr(10), 0, hit.start()) + 1}: {hit[0][:80]}" for file, text, hit in hits] == []


SAMPLES = [
    ("an address of a package registry", "--extra-index-" + "url https://mirror.example/sim" + "ple"),
    ("an address of a package registry", '  "resol' + 'ved": "https://mirror.example/a.tgz",'),
    ("an address of a package registry", "regis" + "try=https://mirror.example/"),
    ("an address of a package registry", "http://mirror.example/sim" + "ple/uv/"),
    ("a path of one machine", "# made in /ho" + "me/someone/project"),
    ("a private key", "-----BEGIN EC PRIV" + "ATE KEY-----\\n" + "M" * 40),
]


@pytest.mark.parametrize(("what", "text"), SAMPLES)
def test_what_is_forbidden_is_found(what: str, text: str) -> None:
    """A search that finds nothing anywhere would pass for ever."""
    assert FORBIDDEN[what].search(text)


EXEMPTION = re.compile(r"# (?:no" + r"qa|type: ig" + r"nore|pragma: no c" + r"over)\b(?P<what>[^#]*)(?P<more>#.*)?")


def lacks_reason(line: str) -> bool:
    """Whether a line is exempt from a check and does not say why, behind ` - ` or a second `#`."""
    found = EXEMPTION.search(line)
    return found is not None and not found["more"] and " - " not in found["what"]


@pytest.mark.parametrize(
    ("line", "lacks"),
    [
        ("x = 1  # no" + "qa: S104", True),
        ("x = 1  # no" + "qa: S104, S105 - nothing listens", False),
        ("x = 1  # type: ig" + "nore[misc]", True),
        ("x = 1  # type: ig" + "nore[misc]  # it has no types", False),
        ("x = 1  # pragma: no c" + "over", True),
        ("x = 1  # a comment", False),
    ],
)
def test_an_exemption_without_a_reason_is_found(line: str, lacks: bool) -> None:
    """In both ways in which reasons are written."""
    assert lacks_reason(line) is lacks


@pytest.mark.needs("git")
def test_every_exemption_has_its_reason_beside_it() -> None:
    """From lint, types and coverage."""
    files = [file for file in tracked() if file.suffix == ".py"]
    lines = ((file, number, line) for file in files for number, line in enumerate(file.read_text().splitlines(), 1))
    assert [f"{file.relative_to(ROOT)}:{number}" for file, number, line in lines if lacks_reason(line)] == []


@pytest.mark.needs("git")
def test_every_tracked_file_is_text_of_reasonable_size() -> None:
    """Binaries and data dumps do not belong into a source tree."""
    too_big = [str(file.relative_to(ROOT)) for file in tracked() if file.stat().st_size > 1 << 20]
    binary = [str(file.relative_to(ROOT)) for file in tracked() if b"\0" in file.read_bytes()]
    assert (too_big, binary) == ([], [])


def test_every_list_of_wishes_has_its_lock() -> None:
    """Each list of wishes has its lock; the server's wishes stand in pyproject.toml."""
    wished = {wishes.stem for wishes in (ROOT / "requirements").glob("*.in")}
    assert {lock.stem for lock in LOCKS} == {*wished, "server"}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_lock_pins_every_package_with_hashes(lock: Path) -> None:
    """One exact version and at least one SHA-256 for each entry, and nothing but entries."""
    entries = re.split(r"\n(?=[a-zA-Z0-9])", re.sub(r"^\s*#.*\n", "", lock.read_text(), flags=re.MULTILINE).strip())
    unpinned = [
        entry.splitlines()[0]
        for entry in entries
        if not re.match(r"[\w.\[\]-]+==[\w.!+]+(?: ; [^\\]+)? \\\n\s+--hash=sha256:[0-9a-f]{64}", entry)
    ]
    assert unpinned == []


def test_the_packages_of_the_javascript_tests_have_integrity() -> None:
    """Npm checks each against its digest."""
    packages = json.loads((ROOT / "tests" / "js" / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


def test_the_server_lock_is_part_of_the_dev_lock() -> None:
    """What is tested is what is shipped, version by version."""

    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([\w.-]+==[\w.]+)", (ROOT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE))

    assert pins("server") <= pins("dev")


def test_what_was_left_out_is_told_with_its_cure(tmp_path: Path) -> None:
    """Counted by what is missing, most first, each with the command that installs it."""
    file = tmp_path / "left_out.jsonl"
    assert read(file) == []
    file.write_text('{"test": "a", "parts": ["java"]}\n{"test": "b", "parts": ["java", "node"]}\n')
    assert describe(read(file)) == [
        f"left out: 2 tests need {PARTS['java'].title}: {PARTS['java'].install}",
        f"left out: 1 test needs {PARTS['node'].title}: {PARTS['node'].install}",
    ]


def test_a_floor_of_coverage_tells_what_lies_below_it() -> None:
    """A missed line of a pure module, a missed branch, and a low total each are one line."""
    names = {
        str(file.relative_to(ROOT)): {"missing_lines": [], "missing_branches": []} for file in (ROOT / "proxy").rglob("*.py")
    }
    assert [
        line for line in below_floors({"files": names, "totals": {"percent_covered": 100.0}}) if "no such file" not in line
    ] == []
    names["proxy/globs.py"] = {"missing_lines": [12], "missing_branches": [[7, 9], [7, -3]]}
    told = below_floors({"files": names, "totals": {"percent_covered": 12.34}})
    assert "proxy/globs.py: not wholly covered at lines 7, 12; its floor is 100 %" in told
    assert any(line.startswith("12.3 % in all") for line in told)
