"""Values that more than one part of the settings reads: addresses, URLs, times, files. What is wrong goes to the mistakes."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from proxy.yaml_source import Mistakes, Node, decimal_of, text_of

if TYPE_CHECKING:
    from pathlib import Path

_HOST = re.compile(r"[0-9A-Za-z_-]{1,63}(?:\.[0-9A-Za-z_-]{1,63})*")


class Address(NamedTuple):
    """Where a port listens. `host` is an IP address or a name."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True if nobody off this machine (or pod) can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def is_host(text: str) -> bool:
    """True for an IP address or a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True


def url_of(node: Node, key: str, mistakes: Mistakes) -> str:
    """A URL that secrets or decisions depend on, without a slash at its end."""
    text = text_of(node, f"`{key}`", mistakes)
    if text and (problem := problem_of_url(text)):
        mistakes.add(node.place, f"`{key}`: {problem}")
    return text.rstrip("/")


def problem_of_url(text: str) -> str:
    """What is wrong with a URL that secrets or decisions depend on, or "". Plain HTTP is for loopback only."""
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        return f"`{text}` is not a URL"
    if "@" in url.netloc or url.query or url.fragment:
        return "the URL must not hold a user, a password, a query or a fragment"  # and none of them is shown
    if url.scheme not in ("http", "https") or not is_host(host) or port == 0 or not (text.isascii() and text.isprintable()):
        return f"`{text}` is not an http(s) URL"
    if url.scheme == "http" and not Address(host, 0).is_loopback:
        return f"`{text}` is plain HTTP to another machine; write https://"
    return ""


def seconds_of(node: Node, key: str, mistakes: Mistakes) -> float:
    """A time of more than 0 seconds."""
    before = len(mistakes.errors)
    value = decimal_of(node, f"`{key}` (seconds)", mistakes)
    if value <= 0 and len(mistakes.errors) == before:
        mistakes.add(node.place, f"`{key}` must be more than 0 seconds")
    return value


def delay_of(node: Node, key: str, mistakes: Mistakes) -> float:
    """A time of 0 seconds or more."""
    value = decimal_of(node, f"`{key}` (seconds)", mistakes)
    if value < 0:
        mistakes.add(node.place, f"`{key}` must be 0 seconds or more")
    return value


def file_of(node: Node | None, what: str, base: Path, mistakes: Mistakes) -> str:
    """The path of a file that is there; "" where none is named. Relative to `base`."""
    text = text_of(node, what, mistakes)
    if node is None or not text:
        return ""
    if not (base / text).is_file():
        mistakes.add(node.place, f"{what}: `{base / text}` is not a file")
    return str(base / text)
