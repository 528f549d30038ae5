"""How the story looks: plain lines, wrapped; colour on a terminal alone, and never where NO_COLOR is set (no-color.org)."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_STYLES = {"title": "1", "good": "1;32", "bad": "1;31", "note": "2"}
_WIDEST = 120


class Screen:
    """Writes to one stream."""

    def __init__(self, out: IO[str] = sys.stdout) -> None:
        self._out = out
        self._is_coloured = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        self.width = max(60, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 50)).columns)) if out.isatty() else _WIDEST

    def heading(self, number: int, word: str, text: str) -> None:
        """Begin a step."""
        style = "bad" if word in ("DENIED", "REFUSED") else "good"
        self._write(f"\n{self._styled(f'{number} {word}', style)}  {self._styled(text, 'title')}")

    def say(self, text: str, *, indent: str = "  ") -> None:
        """Prose."""
        self._write(self._wrapped(text, indent))

    def note(self, text: str) -> None:
        """An aside: which file, which command."""
        self._write(self._styled(self._wrapped(text, "  "), "note"))

    def quote(self, text: str) -> None:
        """Somebody's own words: every character of them, for they can be pasted."""
        for line in text.splitlines():
            pieces = textwrap.wrap(line, self.width - 4, break_long_words=False, break_on_hyphens=False) or [""]
            self._write("\n".join("  | " + piece for piece in pieces))

    def members(self, record: Mapping[str, object]) -> None:
        """A JSON object, broken between its members only."""
        lines = [""]
        for at, (name, value) in enumerate(record.items(), 1):
            piece = f"{json.dumps(name)}: {json.dumps(value)}" + ("," if at < len(record) else "")
            if len(lines[-1]) + len(piece) + 8 > self.width:
                lines.append("")
            lines[-1] += (" " if lines[-1] else "") + piece
        self._write("  | {" + "\n  |  ".join(lines) + "}")

    def verbatim(self, text: str) -> None:
        """Lines to paste into a shell: never wrapped."""
        self._write(textwrap.indent(text, "  "))

    def end(self, word: str, text: str, *, is_good: bool = True) -> None:
        """The last line."""
        self._write(f"\n{self._styled(word, 'good' if is_good else 'bad')}  {text}")

    def _wrapped(self, text: str, indent: str) -> str:
        return textwrap.fill(
            text, self.width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._is_coloured else text

    def _write(self, text: str) -> None:
        print(text, file=self._out, flush=True)
