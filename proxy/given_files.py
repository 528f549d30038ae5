"""Files that the commands of those who write policies are given: read whole or in lines, and told where they are none.

What is named on a command line is told by that name, with what to give instead.
"""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from proxy.policy.store import policy_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class CannotTry(Exception):
    """What was asked for cannot be tried. `lines` say what to do."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def given_policies(path: Path) -> dict[str, str]:
    """Name to text of each policy file. Raises CannotTry, PolicyError or OSError."""
    if not path.exists():
        raise CannotTry(f"{path}: does not exist; name a folder or file of policies")
    return policy_texts(path)


def table_names(file: Path) -> list[str]:
    """Names of tables: what ListTables answers, a JSON list, or one a line. Raises CannotTry or OSError."""
    text = file.read_text(encoding="utf-8", errors="replace")
    try:
        document = json.loads(text)
    except ValueError:
        document = text.split()
    names = document.get("TableNames", ()) if isinstance(document, dict) else document
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise CannotTry(f"{file}: holds no names of tables; write one a line, or give what `aws dynamodb list-tables` prints")
    return names


@contextmanager
def opened(file: Path) -> Iterator[TextIO]:
    """A file of text, compressed or not. Raises OSError, and CannotTry where it turns out, as it is read, to be no whole gzip."""
    try:
        with (
            gzip.open(file, "rt", encoding="utf-8", errors="replace")
            if file.suffix == ".gz"
            else file.open(encoding="utf-8", errors="replace") as text
        ):
            yield text
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise CannotTry(
            f"{file}: is no whole gzip file; get it again if it was cut, take `.gz` off its name if it is plain"
        ) from None


def parsed(file: Path, read: Callable[[str], list[Any]]) -> Iterator[Any]:
    """What `read` finds in the JSON of a file, compressed or not. Raises CannotTry or OSError."""
    with opened(file) as text:
        try:
            yield from read(text.read())
        except json.JSONDecodeError as error:
            raise CannotTry(f"{file}: is not JSON (line {error.lineno}); was it cut?") from None
        except ValueError as error:
            raise CannotTry(f"{file}: {error}") from None
        except (AttributeError, KeyError, TypeError):
            raise CannotTry(f"{file}: is JSON of another form than is meant here") from None
