"""The format of a corpus, read strictly: an unknown key is a mistake, never ignored, for a case that is half read proves nothing.

The words of the format are those of `conventions` at the top of corpus.yaml.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_TOP = {"meta", "conventions", "fixtures", "cases"}
_CASE = {
    "id", "category", "title", "token", "tokens", "request", "policy_context", "expect", "alt_expect", "also_ok", "why",
    "strictness", "close_rule",
}  # fmt: skip
_TOKEN = {
    "alg", "header", "base", "claims", "remove_claims", "signed_by", "raw_header", "raw_claims", "encoding", "mutate", "literal",
}  # fmt: skip
_MUTATIONS = {
    "append": {"value"},
    "prepend": {"value"},
    "drop_signature": set(),
    "swap_claims": {"claims"},
    "flip_signature_byte": set(),
    "raw_signature_hex": {"value"},
    "to_json_serialization": set(),
}
_REQUEST = {"method", "path", "headers", "body", "body_hex", "body_gen", "raw", "segments", "repeat", "parallel_with"}
_BODY_GEN = {"prefix", "unit", "times", "suffix"}
_EXPECT = {
    "allow", "status", "status_any", "error_type", "must_not_reach_upstream", "responses", "upstream_count",
    "upstream_must_not_contain", "upstream_must_contain", "upstream_host", "canary_hits", "jwks_fetches_max", "sts_calls",
    "response_must_not_contain", "audit_lines", "log_must_not_contain", "metrics_new_series_max", "max_seconds",
    "max_rss_growth_mb",
}  # fmt: skip
_SIGNERS = {
    "issuer_key", "issuer_key_b", "partner_key", "retired_key", "attacker_key", "attacker_ec_key", "weak_1024_key",
    "public_key_as_hmac", "public_jwk_as_hmac", "empty_hmac", "none",
}  # fmt: skip


class CorpusError(Exception):
    """The corpus is not in the format; the message names case and key."""


@dataclass(frozen=True)
class Expectation:
    """What must be seen of one case; None means that the case says nothing of it."""

    allow: bool
    statuses: frozenset[int]  # empty: any
    error_type: str | None = None
    must_not_reach_upstream: bool | None = None
    responses: tuple[int, ...] | None = None
    upstream_count: int | None = None
    upstream_must_contain: tuple[str, ...] = ()
    upstream_must_not_contain: tuple[str, ...] = ()
    jwks_fetches_max: int | None = None
    sts_calls: int | None = None
    response_must_not_contain: tuple[str, ...] = ()
    audit_lines: int | None = None
    log_must_not_contain: tuple[str, ...] = ()
    metrics_new_series_max: int | None = None
    max_seconds: float | None = None
    max_rss_growth_mb: float | None = None


@dataclass(frozen=True)
class Case:
    """One attack, or one benign request. `outcomes` are equally good; the first is preferred."""

    id: str
    category: str
    title: str
    tokens: Mapping[str, Any]
    request: Mapping[str, Any]
    outcomes: tuple[Expectation, ...]
    is_hard: bool
    must_close: bool  # a refusal must end the connection

    @property
    def is_benign(self) -> bool:
        """True if every acceptable outcome serves the request."""
        return all(outcome.allow for outcome in self.outcomes)

    @property
    def needs_cold_start(self) -> bool:
        """True where what is counted would be hidden by what an earlier case has left in a cache."""
        return any(outcome.sts_calls or outcome.jwks_fetches_max is not None for outcome in self.outcomes)


@dataclass(frozen=True)
class Corpus:
    """All cases of one file, and the identities that their tokens speak for."""

    name: str
    fixtures: Mapping[str, Any]
    cases: tuple[Case, ...] = field(default=())


def read_corpus(file: Path, fixtures: Mapping[str, Any] | None = None) -> Corpus:
    """Read a corpus; `fixtures` stand in where the file has none of its own. Raises CorpusError."""
    document = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)
    _known(document, _TOP, file.name)
    found = document.get("fixtures") or fixtures
    if found is None:
        raise CorpusError(f"{file.name}: no `fixtures`")
    cases = tuple(_case(entry) for entry in document["cases"])
    if len({case.id for case in cases}) != len(cases):
        raise CorpusError(f"{file.name}: an id stands twice")
    return Corpus(file.name, found, cases)


def _case(entry: Any) -> Case:
    name = entry.get("id", "a case without id") if isinstance(entry, dict) else "a case"
    _known(entry, _CASE, name)
    for key in ("id", "category", "title", "request", "expect"):
        if key not in entry:
            raise CorpusError(f"{name}: no `{key}`")
    if entry.get("strictness", "hard") not in ("hard", "soft"):
        raise CorpusError(f"{name}: strictness is hard or soft")
    tokens = dict(entry.get("tokens") or {})
    if "token" in entry:
        tokens["attack"] = entry["token"]
    for spec in tokens.values():
        _check_token(spec, name)
    _check_request(entry["request"], name)
    outcomes = [_expectation(entry["expect"], name)]
    if entry.get("alt_expect"):
        outcomes.append(_expectation(entry["alt_expect"], name))
    return Case(
        id=entry["id"],
        category=entry["category"],
        title=entry["title"],
        tokens=tokens,
        request=entry["request"],
        outcomes=tuple(outcomes),
        is_hard=entry.get("strictness", "hard") == "hard",
        must_close=bool(entry.get("close_rule", entry["category"] == "smuggling")),
    )


def _check_token(spec: Any, name: str) -> None:
    _known(spec, _TOKEN, f"{name}, token")
    signer = str(spec.get("signed_by", "issuer_key"))
    if signer not in _SIGNERS and not signer.startswith("literal_hmac:"):
        raise CorpusError(f"{name}: nobody signs as `{signer}`")
    for mutation in spec.get("mutate") or ():
        needed = _MUTATIONS.get(mutation.get("op"))
        if needed is None or set(mutation) - {"op"} != needed:
            raise CorpusError(f"{name}: cannot mutate a token by {mutation}")


def _check_request(request: Any, name: str) -> None:
    _known(request, _REQUEST, f"{name}, request")
    if "body_gen" in request:
        _known(request["body_gen"], _BODY_GEN, f"{name}, body_gen")
    if sum(bool(request.get(form)) for form in ("body", "body_hex", "body_gen", "raw")) > 1:
        raise CorpusError(f"{name}: a request has one of body, body_hex, body_gen, raw")
    if "parallel_with" in request:
        _check_request(request["parallel_with"], f"{name}, parallel_with")


def _expectation(expect: Any, name: str) -> Expectation:
    _known(expect, _EXPECT, f"{name}, expect")
    if type(expect.get("allow")) is not bool:
        raise CorpusError(f"{name}: `allow` is true or false")
    if expect.get("upstream_host", "configured") != "configured":
        raise CorpusError(f"{name}: `upstream_host` can be `configured` only")
    if expect.get("canary_hits", 0) != 0:
        raise CorpusError(f"{name}: the canary is never to be hit")
    single = expect.get("status")
    statuses = frozenset(expect.get("status_any") or ()) | (frozenset() if single is None else {single})
    lists = {key: _texts(expect.get(key)) for key in ("upstream_must_contain", "upstream_must_not_contain")}
    lists |= {key: _texts(expect.get(key)) for key in ("response_must_not_contain", "log_must_not_contain")}
    plain = {
        key: expect.get(key)
        for key in (
            "error_type", "must_not_reach_upstream", "upstream_count", "jwks_fetches_max", "sts_calls", "audit_lines",
            "metrics_new_series_max", "max_seconds", "max_rss_growth_mb",
        )
    }  # fmt: skip
    responses = expect.get("responses")
    return Expectation(
        allow=expect["allow"], statuses=statuses, responses=tuple(responses) if responses else None, **lists, **plain
    )


def _texts(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _known(mapping: Any, keys: Iterable[str], where: str) -> None:
    if not isinstance(mapping, dict):
        raise CorpusError(f"{where}: must be a mapping")
    for key in mapping:
        if key not in keys:
            near = difflib.get_close_matches(str(key), keys, 1)
            raise CorpusError(f"{where}: unknown key `{key}`" + (f"; did you mean `{near[0]}`?" if near else ""))
