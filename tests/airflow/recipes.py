"""The README's recipes, as its readers paste them: the fenced block below `<!-- recipe: NAME -->` is what the tests run."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from tests.stack.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

_RECIPE = re.compile(r"<!-- recipe: (?P<name>[a-z-]+) -->\n+```\w+\n(?P<text>.*?)```", re.DOTALL)


def recipes() -> dict[str, str]:
    """Every recipe's text by its name."""
    return {found["name"]: found["text"] for found in _RECIPE.finditer((ROOT / "README.md").read_text())}


def recipe(name: str, places: Mapping[str, str]) -> str:
    """A recipe with this machine's `places` in the place of the README's; AssertionError where one of them is unknown."""
    text = recipes()[name]
    for theirs, ours in places.items():
        text = text.replace(theirs, ours)
    return text


def exported(name: str, places: Mapping[str, str]) -> dict[str, str]:
    """The variables that a recipe in shell exports, as bash understands them."""
    script = f"set -eu\n{recipe(name, places)}\nenv -0"
    done = subprocess.run(["bash", "-c", script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True)
    variables = dict(line.split("=", 1) for line in done.stdout.split("\0") if line)
    return {name: value for name, value in variables.items() if name not in ("PATH", "PWD", "SHLVL", "_")}
