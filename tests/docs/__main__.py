"""`make docs`: write README's tables anew from the code."""

from __future__ import annotations

from pathlib import Path

from tests.docs.tables import rewritten

readme = Path(__file__).resolve().parents[2] / "README.md"
before = readme.read_text()
after = rewritten(before)
readme.write_text(after)
print("README.md: " + ("unchanged" if before == after else "tables written anew"))
