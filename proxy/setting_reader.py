"""A node of the settings file, or a variable -> the value of its setting, by the setting's kind; mistakes are collected."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proxy.issuer_settings import issuers_of
from proxy.setting_table import REQUIRED, Setting
from proxy.setting_values import Address, delay_of, is_host, seconds_of, url_of
from proxy.yaml_source import Mistakes, Node, Place, Scalar, boolean_of, integer_of, text_of, texts_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_REGION = re.compile(r"[a-z]{2,}(?:-[a-z]+)+-[0-9]{1,2}")


class Reader:
    """Reads one setting after the other; `failed` are the fields of those that have a mistake."""

    def __init__(self, file: str, base: Path, mistakes: Mistakes) -> None:
        self.file = file
        self.base = base  # what relative paths are relative to
        self.mistakes = mistakes
        self.failed: set[str] = set()

    def value(self, setting: Setting, node: Node | None) -> Any:
        """The value of a setting, from its node or its default."""
        before = len(self.mistakes.errors)
        value = self._default(setting) if node is None else self._given(setting, node)
        if setting.default is REQUIRED and not value and len(self.mistakes.errors) == before:
            place = Place(self.file, 0) if node is None else node.place
            self.mistakes.add(place, f"`{setting.key}` is missing (or {setting.variable}): {setting.meaning}")
        if len(self.mistakes.errors) > before:
            self.failed.add(setting.field)
        return value

    def _default(self, setting: Setting) -> Any:
        if setting.kind == "address":
            return _address(Scalar(str(setting.default), True, Place(self.file, 0)), setting.key, self.mistakes)
        if setting.kind == "path":
            return self._existing(str(setting.default), setting.key, Place(self.file, 0))
        return None if setting.default is REQUIRED else setting.default

    def _given(self, setting: Setting, node: Node) -> Any:
        if setting.kind == "issuers":
            return issuers_of(node, self.base, self.mistakes)
        if setting.kind not in ("path", "file", "key_file", "sink", "socket"):
            return _READERS[setting.kind](node, setting.key, self.mistakes)
        text = text_of(node, f"`{setting.key}`", self.mistakes)
        if setting.kind == "sink":
            return text if text == "-" else str(self.base / text) if text else "-"
        if setting.kind in ("socket", "key_file"):
            return str(self.base / text) if text else ""
        if setting.kind == "path":
            return self._existing(text, setting.key, node.place)
        return str(self._existing(text, setting.key, node.place)) if text else ""

    def _existing(self, text: str, key: str, place: Place) -> Path:
        found = self.base / text
        if not found.exists():
            self.mistakes.add(place, f"`{key}`: `{found}` does not exist; write it there, or name where it is")
        return found


def _address(node: Node, key: str, mistakes: Mistakes) -> Address:
    if not isinstance(node, Scalar):
        mistakes.add(node.place, f"`{key}` must be a string")
        return Address("", 0)
    text = node.text
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not is_host(host) or not port.isascii() or not port.isdigit() or int(port) > 65535:
        mistakes.add(node.place, f"`{key}`: `{text}` is not host:port, for example 127.0.0.1:8080 or [::1]:8080")
        return Address("", 0)
    return Address(host, int(port))


def _origin(node: Node, key: str, mistakes: Mistakes) -> str:
    """A URL without a path: DynamoDB's requests go to `/`."""
    before = len(mistakes.errors)
    text = url_of(node, key, mistakes)
    if len(mistakes.errors) == before and urlsplit(text).path:
        mistakes.add(node.place, f"`{key}`: `{text}` has a path; write scheme, host and port only")
    return text


def _region(node: Node, key: str, mistakes: Mistakes) -> str:
    text = text_of(node, f"`{key}`", mistakes)
    if text and not _REGION.fullmatch(text):
        mistakes.add(node.place, f"`{key}`: `{text}` is not a Region, for example eu-west-1")
    return text


def _count(node: Node, key: str, mistakes: Mistakes) -> int:
    before = len(mistakes.errors)
    value = integer_of(node, f"`{key}`", mistakes)
    if value < 1 and len(mistakes.errors) == before:
        mistakes.add(node.place, f"`{key}` must be at least 1")
    return value


def _level(node: Node, key: str, mistakes: Mistakes) -> str:
    level = text_of(node, f"`{key}`", mistakes)
    if level and level not in ("debug", "info", "warning", "error"):
        mistakes.add(node.place, f"`{key}`: `{level}` is not one of debug, info, warning, error")
    return level


_READERS: dict[str, Callable[[Node, str, Mistakes], Any]] = {
    "address": _address,
    "boolean": lambda node, key, mistakes: boolean_of(node, f"`{key}`", mistakes),
    "count": _count,
    "delay": delay_of,
    "level": _level,
    "origin": _origin,
    "region": _region,
    "seconds": seconds_of,
    "text": lambda node, key, mistakes: text_of(node, f"`{key}`", mistakes),
    "texts": lambda node, key, mistakes: texts_of(node, f"`{key}`", mistakes),
    "url": url_of,
}
