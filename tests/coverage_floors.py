"""Floors under the coverage of the unit tests: pure logic is tested whole, branch by branch; the rest not below a total.

Run as `python -m tests.coverage_floors` after `pytest tests/unit --cov`. A pattern that fits no file is a mistake too: a
floor must not vanish with a rename.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from coverage import Coverage

ROOT = Path(__file__).resolve().parents[1]
TOTAL = 85.0  # percent of lines and branches; the serving shells are also tested as processes, which is not counted here
_SHOWN = 12
WHOLE = (
    "proxy/entitlement.py",
    "proxy/globs.py",
    "proxy/keyring.py",
    "proxy/login.py",
    "proxy/model.py",
    "proxy/pipeline.py",
    "proxy/refusal.py",
    "proxy/settings.py",
    "proxy/setting_reader.py",
    "proxy/setting_table.py",
    "proxy/issuer_settings.py",
    "proxy/setting_values.py",
    "proxy/yaml_source.py",
    "proxy/identity/channels.py",
    "proxy/identity/cluster.py",
    "proxy/identity/fetching.py",
    "proxy/identity/jwks.py",
    "proxy/identity/token.py",
    "proxy/identity/binding.py",
    "proxy/identity/denials.py",
    "proxy/identity/minting.py",
    "proxy/identity/sessions.py",
    "proxy/dynamodb/*.py",
    "proxy/policy/rules.py",
    "proxy/policy/document.py",
    "proxy/policy/check.py",
    "proxy/policy/changes.py",
    "proxy/policy/cloudtrail.py",
    "proxy/policy/considered.py",
    "proxy/policy/described.py",
    "proxy/policy/diff.py",
    "proxy/policy/diff_report.py",
    "proxy/policy/draft.py",
    "proxy/policy/explain.py",
    "proxy/policy/iam.py",
    "proxy/policy/lint.py",
    "proxy/policy/recorded.py",
    "proxy/policy/report.py",
    "proxy/policy/samples.py",
    "proxy/policy/schema.py",
    "proxy/policy/written.py",
    "proxy/aws/inbound.py",
    "proxy/aws/sigv4.py",
    "proxy/aws/whole_reply.py",
    "proxy/aws/sts_form.py",
)


def measure() -> dict[str, Any]:
    """The JSON report of the last run: `files` by path with `missing_lines` and `missing_branches`, and `totals`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        measured = Coverage(data_file=ROOT / ".coverage", config_file=ROOT / "pyproject.toml")
        measured.load()
        measured.json_report(outfile=str(report))
        return dict(json.loads(report.read_text()))


def below_floors(measured: dict[str, Any]) -> list[str]:
    """One line for each file below its floor."""
    below = []
    for pattern in WHOLE:
        names = [str(file.relative_to(ROOT)) for file in sorted(ROOT.glob(pattern))]
        if not names:
            below.append(f"{pattern}: no such file; mend the list in tests/coverage_floors.py")
        for name in names:
            file = measured["files"][name]
            gaps = sorted({*file["missing_lines"], *(start for start, _ in file["missing_branches"])})
            if gaps:
                shown = ", ".join(map(str, gaps[:_SHOWN])) + (", ..." if len(gaps) > _SHOWN else "")
                below.append(f"{name}: not wholly covered at lines {shown}; its floor is 100 %")
    total = measured["totals"]["percent_covered"]
    if total < TOTAL:
        below.append(f"{total:.1f} % in all; the floor is {TOTAL:g} %")
    return below


def main() -> int:
    """Print what lies below its floor; 1 if anything does."""
    measured = measure()
    below = below_floors(measured)
    print("\n".join(below) or f"coverage: {measured['totals']['percent_covered']:.1f} % in all, pure modules whole")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main())
