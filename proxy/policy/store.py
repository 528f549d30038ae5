"""Policy files on a disk: one directory or one file, read whole, in the order of names.

A ConfigMap's directory holds links into `..data`; names that begin with a dot are passed over, links are followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.policy.document import read_policies
from proxy.yaml_source import MAX_BYTES, Mistakes

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.policy.rules import Policies

_SUFFIXES = (".yaml", ".yml")


class PolicyError(Exception):
    """The policies cannot be used. `lines` has every mistake: `file:line: what is wrong and what to write instead`."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


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
    if not directory.exists():
        raise PolicyError([f"{directory}: does not exist; set `policies` to a directory with at least one .yaml file"])
    texts: dict[str, str] = {}
    lines: list[str] = []
    for path in _policy_files(directory):
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
