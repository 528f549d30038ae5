"""What must hold of a case, in words of one line each. No problem of some outcome: the case passed.

Always, whatever the case says: a refusal lets nothing through, what is served was forwarded exactly once as its own DAG and
unchanged, nothing is answered with 5xx, nobody touches the canary, and no token or secret comes back or goes upstream.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.attacks.sending import requests_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.attacks.client import Conversation, Response
    from tests.attacks.corpus import Case, Expectation
    from tests.attacks.sending import SentRequest
    from tests.attacks.stubs import Forwarded
    from tests.attacks.testbed import Observation, Testbed

_SHORTEST_SECRET = 16  # a shorter text could stand anywhere by chance


def problems_of(case: Case, seen: Observation, bed: Testbed) -> list[str]:
    """What is wrong with the better of the outcomes; empty if the case passed."""
    always = [*_always(seen, bed)]
    return always + min(([*_of_outcome(case, outcome, seen)] for outcome in case.outcomes), key=len)


def error_type_of(response: Response) -> str:
    """The last word of `__type`, or ""."""
    try:
        said = json.loads(response.body)["__type"]
    except (ValueError, KeyError, TypeError):
        return ""
    return str(said).rpartition("#")[2]


def leaks(text: bytes, secrets: Iterable[str]) -> Iterator[str]:
    """Says which kind of secret stands in `text`, without showing it."""
    for secret in secrets:
        if secret.encode(errors="surrogatepass") in text:
            yield f"`{secret[:4]}...` of {len(secret)} characters"


def secrets_of(bed: Testbed, tokens: Iterable[str]) -> set[str]:
    """Tokens, their signatures, every secret of STS, and the canary's address."""
    return _secret_parts(tokens) | bed.surroundings.sts.secrets | {bed.surroundings.canary.authority}


def hidden_in(bed: Testbed) -> list[str]:
    """What no single case shows. Stops the defender, so that its audit is whole and what was on its way has arrived."""
    secrets = secrets_of(bed, bed.tokens)
    found = [f"metrics hold a secret: {leak}" for leak in leaks(bed.defender.metrics().encode(), secrets)]
    if bed.defender.stop() != 0:
        found.append("did not stop in peace")
    found += [f"logs or audit hold a secret: {leak}" for leak in leaks(bed.defender.output(), secrets)]
    records = bed.defender.records()
    decisions = sorted(record["id"] for record in records if record["record"] == "decision")
    outcomes = {record["id"]: record for record in records if record["record"] == "outcome"}
    if decisions != sorted(outcomes):
        found.append(f"{len(decisions)} decisions and {len(outcomes)} outcomes in the audit, which must be pairs")
    told = {record["aws_request_id"] or record["id"] for record in outcomes.values() if record["ending"] != "abandoned"}
    if told != bed.recorded:
        found.append(f"outcomes without an answer: {len(told - bed.recorded)}, answers without one: {len(bed.recorded - told)}")
    if late := bed.surroundings.newly_forwarded():
        found.append(f"{len(late)} requests went upstream late")
    if bed.surroundings.canary.hits:
        found.append("the canary was contacted")
    return found


def _secret_parts(tokens: Iterable[str]) -> set[str]:
    parts = {part for token in tokens for part in (token, token.rpartition(".")[2])}
    return {part for part in parts if len(part) >= _SHORTEST_SECRET}


# ------------------------------------------------------------------------------------------------ whatever the case says


def _always(seen: Observation, bed: Testbed) -> Iterator[str]:
    tokens = {token for expansion in seen.expansions for token in expansion.tokens}
    secrets = secrets_of(bed, tokens)
    if seen.canary_hits:
        yield f"the canary was contacted {seen.canary_hits} times"
    yield from (f"STS: {fault}" for fault in seen.faults)
    for conversation in (*seen.conversations, *seen.more):
        if conversation.rest:
            yield f"what came back is no HTTP answer: {conversation.rest[:60]!r}"
        for response in conversation.responses:
            if response.status >= 500:
                yield f"answered {response.status}: {response.body[:200]!r}"
            yield from (f"the answer holds a secret: {leak}" for leak in leaks(response.raw, secrets))
        yield from _unfaithful(conversation, seen, bed)
    answered = {r.headers.get("x-amzn-requestid") for c in (*seen.conversations, *seen.more) for r in c.responses}
    for forwarded in seen.forwarded:
        if forwarded.fault:
            yield f"went upstream with a bad signature: {forwarded.fault}"
        if forwarded.received.headers.get("host") != bed.surroundings.dynamodb.authority:
            yield "went upstream with a foreign Host"
        if forwarded.request_id not in answered:
            yield f"went upstream unanswered: {forwarded.target}"
        yield from (f"a token went upstream: {leak}" for leak in leaks(forwarded.received.raw, _secret_parts(tokens)))


def _unfaithful(conversation: Conversation, seen: Observation, bed: Testbed) -> Iterator[str]:
    """Every request that was served is upstream: once, unchanged, as its own DAG, and its answer is its own."""
    by_id = {forwarded.request_id: forwarded for forwarded in seen.forwarded}
    for sent, response in zip(requests_in(conversation.sent), conversation.responses, strict=False):
        if response.status != 200 or sent.method == "GET":
            continue
        forwarded = by_id.get(response.headers.get("x-amzn-requestid", ""))
        if forwarded is None:
            yield "answered 200 and not forwarded"
            continue
        if sent.target != forwarded.target:
            yield f"asked for {sent.target}, forwarded as {forwarded.target}"
        if sent.json != forwarded.body and not sent.target.startswith("DynamoDBStreams_"):  # its iterators are sealed
            yield "the forwarded body is not the one that was sent"
        yield from _other_dag(sent, forwarded, bed)


def _other_dag(sent: SentRequest, forwarded: Forwarded, bed: Testbed) -> Iterator[str]:
    session = forwarded.session
    if session is None or not sent.dag:
        return
    role = bed.roles.get(sent.dag)
    if role and session.role_arn != role:
        yield f"dag {sent.dag[:40]} was signed as {session.role_arn}"
    owner = bed.owners.setdefault((session.role_arn, session.session_name), sent.dag)
    if owner != sent.dag:
        yield f"dags {owner[:40]} and {sent.dag[:40]} share one session"


# ------------------------------------------------------------------------------------------------------- as the case says


def _of_outcome(case: Case, outcome: Expectation, seen: Observation) -> Iterator[str]:
    for conversation in seen.conversations:
        yield from _answers(case, outcome, conversation)
    for conversation in seen.more:
        is_served = outcome.allow or bool(outcome.upstream_count)
        if any((response.status == 200) != is_served for response in conversation.responses) or not conversation.responses:
            yield f"the request beside it was answered {_statuses(conversation)}"
    yield from _upstream(case, outcome, seen)
    yield from _texts(outcome, seen)
    yield from _counts(outcome, seen)


def _answers(case: Case, outcome: Expectation, conversation: Conversation) -> Iterator[str]:
    statuses = _statuses(conversation)
    if outcome.responses is not None:
        if len(statuses) != len(outcome.responses) or not all(
            got == wanted or (min(wanted, got) >= 400 and got in outcome.statuses)
            for got, wanted in zip(statuses, outcome.responses, strict=True)
        ):
            yield f"answered {statuses}, expected {list(outcome.responses)}"
    elif not statuses:
        yield "no answer"
    elif outcome.allow and (len(statuses) != 1 or statuses[0] not in (outcome.statuses or {200})):
        yield f"answered {statuses} {_reason(conversation)}, expected to be served"
    elif not outcome.allow and any(status < 400 or (outcome.statuses and status not in outcome.statuses) for status in statuses):
        yield f"answered {statuses} {_reason(conversation)}, expected a refusal with {sorted(outcome.statuses)}"
    if case.must_close and any(status >= 400 for status in statuses) and not conversation.closed:
        yield "refused, and the connection stays open"
    if outcome.max_seconds is not None and conversation.seconds > outcome.max_seconds:
        yield f"took {conversation.seconds:.1f} s, at most {outcome.max_seconds:g} s"


def _upstream(case: Case, outcome: Expectation, seen: Observation) -> Iterator[str]:
    number = len(seen.forwarded)
    if outcome.upstream_count is not None:
        if number != outcome.upstream_count:
            yield f"{number} requests went upstream, expected {outcome.upstream_count}"
    elif outcome.must_not_reach_upstream or (not outcome.allow and outcome.must_not_reach_upstream is None):
        if number:
            yield f"{number} requests went upstream, expected none"
    elif outcome.allow:
        per_sending = sum(status == 200 for status in outcome.responses) if outcome.responses else 1
        expected = per_sending * (len(seen.conversations) + len(seen.more))
        if number != expected:
            yield f"{number} requests went upstream, expected {expected}"


def _texts(outcome: Expectation, seen: Observation) -> Iterator[str]:
    upstream = b"\n".join(forwarded.received.raw for forwarded in seen.forwarded)
    answers = b"\n".join(response.raw for c in (*seen.conversations, *seen.more) for response in c.responses)
    fill = seen.expansions[0].text
    for text in outcome.upstream_must_contain:
        if fill(text).encode() not in upstream:
            yield f"not upstream: `{text}`"
    for name, texts, where in (
        ("upstream", outcome.upstream_must_not_contain, upstream),
        ("in the answer", outcome.response_must_not_contain, answers),
        ("in logs or audit", outcome.log_must_not_contain, seen.output),
    ):
        yield from (f"{name}: {text!r}" for text in texts for each in seen.expansions if each.text(text).encode() in where)


def _counts(outcome: Expectation, seen: Observation) -> Iterator[str]:
    if outcome.sts_calls is not None and seen.sts_calls != outcome.sts_calls:
        yield f"{seen.sts_calls} calls to STS, expected {outcome.sts_calls}"
    for name, limit, number in (
        ("fetches of keys", outcome.jwks_fetches_max, seen.jwks_fetches),
        ("new time series", outcome.metrics_new_series_max, len(seen.new_series)),
        ("MiB more memory", outcome.max_rss_growth_mb, seen.memory_growth),
    ):
        if limit is not None and number > limit:
            detail = f": {', '.join(sorted(seen.new_series))[:400]}" if name == "new time series" else ""
            yield f"{number:g} {name}, at most {limit:g}{detail}"
    if outcome.audit_lines is not None and seen.decisions != outcome.audit_lines:
        yield f"{seen.decisions} decisions in the audit, expected {outcome.audit_lines}"


def _statuses(conversation: Conversation) -> list[int]:
    return [response.status for response in conversation.responses]


def _reason(conversation: Conversation) -> str:
    return "; ".join(
        f"{response.headers.get('x-ddb-proxy-reason', '')}: {response.body[:300].decode(errors='replace')}"
        for response in conversation.responses
    )
