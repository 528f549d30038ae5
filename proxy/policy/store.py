"""Policy files on a disk: one directory or one file, read whole, in the order of names, and followed while the gateway runs.

A ConfigMap's directory holds links into `..data`; names that begin with a dot are passed over, links are followed.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from proxy.policy.document import digest_of, read_policies
from proxy.policy.vocabulary import PLATFORM_FILES
from proxy.yaml_source import MAX_BYTES, Mistakes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from proxy.policy.rules import Policies

_SUFFIXES = (".yaml", ".yml")


class PolicyError(Exception):
    """The policies cannot be used. `lines` has every mistake: `file:line: what is wrong and what to write instead`."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class PolicyFiles:
    """The policies of one environment, judged anew when the files' content changes. Raises PolicyError where they cannot be used.

    The last good ones stay `current`. Files without the platform.yaml that there was are broken: no rule of theirs is wrong, and
    whatever platform.yaml denied would be let through.
    """

    def __init__(self, directory: Path, environment: str, region: str, mark: Path | None = None) -> None:
        """`mark` is a file that stands once platform.yaml was seen, for workers that are started later: it need not exist yet."""
        self._directory = directory
        self._environment = environment
        self._region = region
        self._mark = mark
        self._seen = ""
        self.has_platform = mark is not None and mark.exists()
        changed = self.look()
        assert changed is not None  # noqa: S101 - for the type checker: nothing was seen before
        self.current = changed

    def look(self) -> Policies | None:
        """What the files hold now, if that changed since the last look. Raises PolicyError, once for each broken state."""
        texts: dict[str, str] = {}
        problem: PolicyError | None = None
        try:
            texts = policy_texts(self._directory)
        except PolicyError as error:
            problem = error
        state = str(problem) if problem else digest_of(texts)
        if state == self._seen:
            return None
        self._seen = state
        if problem:
            raise problem
        if self.has_platform and not _has_platform(texts):
            raise PolicyError([f"{self._directory}: {_PLATFORM_IS_GONE}"])
        self.current = policies_of(texts, self._environment, self._region)
        self.has_platform = _has_platform(texts)
        if self.has_platform and self._mark is not None:
            self._mark.touch()
        return self.current


_PLATFORM_IS_GONE = (
    "holds no platform.yaml any more, so nothing would be denied, required or bounded platform-wide; "
    "put it back, or restart the gateway to do without"
)


def _has_platform(names: Iterable[str]) -> bool:
    return any(PurePath(name).name in PLATFORM_FILES for name in names)


def load_policies(directory: Path, environment: str, region: str) -> Policies:
    """The policies of one environment. Raises PolicyError with everything that is wrong."""
    return policies_of(policy_texts(directory), environment, region)


def policies_of(texts: dict[str, str], environment: str, region: str) -> Policies:
    """The policies that these files hold for one environment. Raises PolicyError with everything that is wrong."""
    mistakes = Mistakes()
    policies = read_policies(texts, environment, region, mistakes)
    if policies is None:
        raise PolicyError(mistakes.lines())
    return policies


def policy_texts(directory: Path) -> dict[str, str]:
    """Name to text of each `*.yaml` and `*.yml`. Raises PolicyError where there is none, or one cannot be read.

    A relative path is the name as given; of an absolute one only folder and file stay, for names end in task logs.
    """
    try:
        if not directory.exists():
            raise PolicyError([f"{directory}: does not exist; set `policies` to a directory with at least one .yaml file"])
        paths = _policy_files(directory)
    except OSError as error:
        what = f"{directory}: cannot be read ({error.strerror})"
        raise PolicyError([f"{what}; name a folder or file of policies that may be read"]) from None
    texts: dict[str, str] = {}
    lines: list[str] = []
    for path in paths:
        try:
            with path.open("rb") as file:
                texts[_name_of(path)] = file.read(4 * MAX_BYTES).decode()
        except UnicodeDecodeError:
            lines.append(f"{path}: is not UTF-8; save it as UTF-8")
        except OSError as error:
            lines.append(f"{path}: cannot be read ({error.strerror})")
    if lines:
        raise PolicyError(lines)
    if not texts:
        raise PolicyError(
            [f"{directory}: holds no policy file; write one, for example {directory}/orders.yaml with tables: and dags:"]
        )
    return texts


def _name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}" if path.is_absolute() else str(path)


def _policy_files(directory: Path) -> list[Path]:
    if directory.is_file():
        return [directory]
    return sorted(
        path for path in directory.iterdir() if path.suffix in _SUFFIXES and not path.name.startswith(".") and not path.is_dir()
    )
