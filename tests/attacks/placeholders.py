"""Placeholders of a corpus, filled for one sending of one case. What looks like a placeholder and is none is a mistake."""

from __future__ import annotations

import json
import re
import secrets
import time
import uuid
from typing import TYPE_CHECKING, Any

from tests.attacks.corpus import CorpusError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.attacks.tokens import TokenMaker

_PLACEHOLDER = re.compile(
    r"\{\{(?:repeat:(?P<text>.*?):(?P<times>[0-9]+)|chunks:(?P<char>.):(?P<size>[0-9]+):(?P<number>[0-9]+)"
    r"|now(?P<shift>[+-][0-9]+)?|(?P<kind>token|seg|len|chunklen):(?P<name>[A-Za-z0-9_.-]+)|(?P<word>[a-z0-9_]+))\}\}",
    re.DOTALL,
)


class Expansion:
    """The values of one sending. Tokens are those of the case; what holds `{{rand}}` or `{{uuid}}` is made anew each time."""

    def __init__(
        self,
        maker: TokenMaker,
        tokens: Mapping[str, Any],
        segments: Mapping[str, str],
        values: Mapping[str, str],
        made: dict[str, str],
    ) -> None:
        """`values` are proxy_host, canary, dedicated_header; `made` keeps the tokens that all sendings of the case share."""
        self._maker = maker
        self._specs = tokens
        self._segments = segments
        self._values = values
        self._shared = made
        self._own: dict[str, str] = {}
        self._filled: dict[str, str] = {}
        self._now = int(time.time())
        self._rand = secrets.token_hex(8)

    @property
    def tokens(self) -> set[str]:
        """Every token of the case so far, this sending's included."""
        return {*self._shared.values(), *self._own.values()}

    def of(self, value: Any) -> Any:
        """`value` with placeholders filled, at any depth; a text that is `{{now...}}` alone becomes an integer."""
        if isinstance(value, str):
            only = _PLACEHOLDER.fullmatch(value)
            if only and only.group().startswith("{{now"):
                return self._now + int(only["shift"] or 0)
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key) if isinstance(key, str) else key: self.of(inner) for key, inner in value.items()}
        return [self.of(inner) for inner in value] if isinstance(value, list) else value

    def text(self, value: str) -> str:
        """`value` with placeholders filled."""
        return _PLACEHOLDER.sub(lambda match: self._value(match), value) if "{{" in value else value

    def body_of(self, gen: Mapping[str, Any]) -> str:
        """A generated body."""
        unit, times = str(gen.get("unit", "")), int(gen.get("times", 1))
        if "{{i}}" in unit:
            units = "".join(self.text(unit.replace("{{i}}", str(index))) for index in range(times))
        else:
            units = self.text(unit) * times
        suffix = str(gen.get("suffix", ""))
        if "{{drop_last_comma}}" in suffix:
            units, suffix = units.removesuffix(","), suffix.replace("{{drop_last_comma}}", "")
        return self.text(str(gen.get("prefix", ""))) + units + self.text(suffix)

    def segment(self, name: str) -> str:
        """A segment of a raw request, filled once, so that its length is that of what is sent."""
        if name not in self._filled:
            if name not in self._segments:
                raise CorpusError(f"no segment `{name}`")
            self._filled[name] = self.text(self._segments[name])
        return self._filled[name]

    def _value(self, match: re.Match[str]) -> str:
        if match["times"] is not None:
            return match["text"] * int(match["times"])
        if match["char"] is not None:
            size = int(match["size"])
            return f"{size:x}\r\n{match['char'] * size}\r\n" * int(match["number"])
        if match["kind"]:
            return self._named(match["kind"], match["name"])
        if match["word"] is None or match["word"] == "now":
            return str(self._now + int(match["shift"] or 0))
        return self._word(match["word"])

    def _named(self, kind: str, name: str) -> str:
        if kind == "token":
            return self._token(name)
        segment = self.segment(name)
        if kind == "seg":
            return segment
        length = len(segment.encode("latin-1"))
        return str(length) if kind == "len" else f"{length:x}"

    def _token(self, name: str) -> str:
        spec = self._specs.get(name)
        is_fresh = spec is not None and re.search(r"\{\{(rand|uuid|seg:)", json.dumps(spec)) is not None
        kept = self._own if is_fresh else self._shared
        if name not in kept:
            kept[name] = self._maker.make(spec, self.of) if spec is not None else self._maker.of_identity(name, self.of)
        return kept[name]

    def _word(self, word: str) -> str:
        moment = time.gmtime(self._now)
        words = {
            "amz_date": lambda: time.strftime("%Y%m%dT%H%M%SZ", moment),
            "date": lambda: time.strftime("%Y%m%d", moment),
            "hex64": lambda: secrets.token_hex(32),
            "uuid": lambda: str(uuid.uuid4()),
            "rand": lambda: self._rand,
            **{name: lambda name=name: self._values[name] for name in self._values},
        }
        if word not in words:
            raise CorpusError(f"unknown placeholder `{{{{{word}}}}}`")
        return str(words[word]())
