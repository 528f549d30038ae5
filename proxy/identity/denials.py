"""The kill switches: DAGs, teams, issuers and single tokens that are stopped at once, whatever the policies say.

Asked at each request, of tokens and of sessions alike, so nothing that was proven before can outlive its entry. Nothing is
taken from a list that is not right in every line: half a list would let through what the other half stops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from proxy.globs import Globs
from proxy.identity.text import is_name, quoted
from proxy.refusal import Forbidden, Reason
from proxy.yaml_source import Mapping, Mistakes, Node, Place, Sequence, known_keys, mapping_of, read_yaml, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.model import Subject

KINDS = {
    "dag": (Reason.DAG_STOPPED, "DAGs by name or glob"),
    "team": (Reason.TEAM_STOPPED, "the DAGs of a team of platform.yaml, and those that no file names and its `dags` cover"),
    "issuer": (Reason.ISSUER_STOPPED, "tokens of an issuer of the settings, and sessions made from them"),
    "jti": (Reason.TOKEN_STOPPED, "one token by its `jti`, or one session by its access key id; with the sessions made from it"),
}
_NOTES = ("reason", "by")


class Denial(NamedTuple):
    """One entry: what is stopped, why, and by whom."""

    kind: str  # one of KINDS
    name: str
    reason: str = ""
    by: str = ""

    def __str__(self) -> str:
        notes = ", ".join(filter(None, (self.reason, self.by and f"by {self.by}")))
        return f"{self.kind} {self.name}" + (f" ({notes})" if notes else "")

    def document(self) -> dict[str, str]:
        """The entry as it is written."""
        fields = {self.kind: self.name, "reason": self.reason, "by": self.by}
        return {key: text for key, text in fields.items() if text}


class DenyList:
    """What is stopped now: an immutable snapshot."""

    def __init__(self, denials: Iterable[Denial] = ()) -> None:
        self.denials = tuple(denials)
        self.stops_any = bool(self.denials)
        self._by_name = {(denial.kind, denial.name): denial for denial in self.denials}
        self._dags = [(Globs((denial.name,)), denial) for denial in self.denials if denial.kind == "dag"]

    def check_subject(self, subject: Subject) -> None:
        """Raises Forbidden (ISSUER_STOPPED, TOKEN_STOPPED)."""
        self._refuse(self._by_name.get(("issuer", subject.issuer)), f"issuer `{subject.issuer}`")
        self._refuse(self._by_name.get(("jti", subject.token_id)), "this token")
        for session_id in (subject.session_id, *subject.assumed_from):
            self._refuse(self._by_name.get(("jti", session_id)), "this session")

    def check_dag(self, dag_id: str, teams_of: Callable[[str], Iterable[str]]) -> None:
        """Raises Forbidden (DAG_STOPPED, TEAM_STOPPED). `teams_of` gives the teams of a DAG; to stop one of them is enough."""
        self._refuse(next((denial for globs, denial in self._dags if globs.match(dag_id)), None), f"dag {quoted(dag_id)}")
        for team in teams_of(dag_id):
            self._refuse(self._by_name.get(("team", team)), f"team `{team}` of dag {quoted(dag_id)}")

    @staticmethod
    def _refuse(denial: Denial | None, what: str) -> None:
        if denial is not None:
            why = f" ({denial.reason})" if denial.reason else ""
            raise Forbidden(
                KINDS[denial.kind][0], f"{what} is stopped by the gateway's deny list{why}; ask those who run the gateway"
            )


NOTHING_DENIED = DenyList()


class NoDenials:
    """The kill switches of a gateway that has none."""

    current = NOTHING_DENIED


def denials_of(text: str, file: str) -> DenyList:
    """The list that a file holds. Raises ValueError with everything that is wrong."""
    mistakes = Mistakes()
    found = read_denials(text, file, mistakes)
    if mistakes.errors:
        raise ValueError("\n  ".join(mistakes.lines()))
    return found


def read_denials(text: str, file: str, mistakes: Mistakes) -> DenyList:
    """The list that a file holds: `denied:`, a list of `{dag: ..., reason: ...}` or team, issuer, jti. Mistakes are recorded."""
    if not text.strip():
        mistakes.add(Place(file, 0), "is empty; write `denied: []` where nothing is to be stopped")
        return NOTHING_DENIED
    top = mapping_of(read_yaml(text, file, mistakes), "a deny list", mistakes)
    if top is None:
        return NOTHING_DENIED
    known_keys(top, ("denied",), "a deny list", mistakes)
    listed = top.get("denied")
    if not isinstance(listed, Sequence):
        mistakes.add(top.place_of("denied"), "`denied` must be a list, for example [{dag: orders_daily, reason: INC-4711}] or []")
        return NOTHING_DENIED
    return DenyList(denial for item in listed if (denial := _denial(item, mistakes)) is not None)


def _denial(node: Node, mistakes: Mistakes) -> Denial | None:
    entry = mapping_of(node, "an entry of `denied`", mistakes)
    if entry is None:
        return None
    known_keys(entry, (*KINDS, *_NOTES), "an entry of `denied`", mistakes)
    given = [kind for kind in KINDS if kind in entry]
    if len(given) != 1:
        mistakes.add(entry.place, f"an entry of `denied` names exactly one of {', '.join(KINDS)}")
        return None
    return Denial(given[0], *(_name(entry, key, mistakes) for key in (given[0], *_NOTES)))


def _name(entry: Mapping, key: str, mistakes: Mistakes) -> str:
    if key not in entry:
        return ""
    text = text_of(entry.get(key), f"`{key}`", mistakes)
    if problem := problem_of(key, text):
        mistakes.add(entry.place_of(key), problem)
    return text


def problem_of(key: str, text: str) -> str:
    """What is wrong with a name of an entry, or ""."""
    if not is_name(text) or (key == "dag" and text.startswith("!")):
        return f"`{key}` must be 1 to 250 printable characters" + (", and not begin with `!`" if key == "dag" else "")
    return ""


def entry_of(fields: dict[str, str], by: str = "") -> Denial:
    """An entry that somebody asks for. Raises ValueError that says what is wrong."""
    given = [kind for kind in KINDS if fields.get(kind)]
    problems = [problem_of(key, text) for key, text in (fields | {"by": by}).items() if text]
    if len(given) != 1 or any(key not in (*KINDS, *_NOTES) for key in fields):
        problems = [f"name exactly one of {', '.join(KINDS)}, and a reason if you like"]
    if wrong := next(filter(None, problems), ""):
        raise ValueError(wrong)
    return Denial(given[0], fields[given[0]], fields.get("reason", ""), by)


def written(denials: DenyList) -> str:
    """The text of a file that holds these entries: one a line."""
    lines = [_line(denial) for denial in denials.denials]
    return "denied:\n" + "".join(lines) if lines else "denied: []\n"


def _line(denial: Denial) -> str:
    return f"  - {orjson.dumps(denial.document()).decode()}\n"  # JSON is YAML
