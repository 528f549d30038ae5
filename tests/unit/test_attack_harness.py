"""The harness of tests/attacks can fail: stand-ins for the gateway, each with one vice, are found out."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from proxy.aws.sigv4 import NO_LINES, Endpoint, UnsignedLines, signed_request
from proxy.model import Credentials
from tests.attacks.corpus import Case, CorpusError, read_corpus
from tests.attacks.loopback import Loopback, Received, http_answer
from tests.attacks.placeholders import Expansion
from tests.attacks.sending import requests_in
from tests.attacks.stubs import Session
from tests.attacks.testbed import FOLDER, Surroundings, Testbed, roles_in
from tests.attacks.tokens import Keyring
from tests.attacks.verdict import problems_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CORPUS = read_corpus(FOLDER / "corpus.yaml")
BY_ID = {case.id: case for case in CORPUS.cases}
ROLE = "arn:aws:iam::111122223333:role/ddb-"
REFUSAL = http_answer("400 Bad Request", b'{"__type":"x#AccessDeniedException","message":"no"}', connection="close")


class StandIn:
    """Forwards every request as the DAG that its token says, which nobody checks; with one vice more, or refusing all."""

    host = "127.0.0.1"

    def __init__(self, loop: Loopback, outside: Surroundings, vice: str) -> None:
        self._outside = outside
        self._vice = vice
        self._scrapes = 0
        self.log = b""
        self.audit: list[dict[str, Any]] = []
        self.port = loop.answer(self._answer)

    def output(self) -> bytes:
        """Its log."""
        return self.log

    def records(self) -> list[dict[str, Any]]:
        """Its audit."""
        return list(self.audit)

    def metrics(self) -> str:
        """A series more with each scrape, if that is its vice."""
        self._scrapes += 1
        return f"# HELP\nrequests {self._scrapes}\n" + (
            "".join(f'dag{{id="{n}"}} 1\n' for n in range(self._scrapes)) * self._is("labels")
        )

    def memory(self, *, start: bool = False) -> float:
        """100 MiB more than at the start, if that is its vice."""
        return 50.0 if start or not self._is("memory") else 150.0

    def _is(self, vice: str) -> bool:
        return self._vice == vice

    async def _answer(self, received: Received) -> bytes:
        answer = REFUSAL if self._is("refuses") else await self._served(received)
        request_id = answer.partition(b"x-amzn-requestid: ")[2].partition(b"\r\n")[0].decode()
        kinds = ["decision", "decision", "outcome"] if self._is("audit") else ["decision", "outcome"]
        self.audit += [{"record": kind, "id": str(len(self.audit)), "aws_request_id": request_id} for kind in kinds]
        self.log += received.raw if self._is("log") else b""
        if self._is("leaks"):
            return http_answer("200 OK", received.headers.get("authorization", "").encode())
        if self._is("quotes"):
            return http_answer("400 Bad Request", f"who is {self._outside.canary.authority}?".encode())
        if self._is("fails"):
            return http_answer("502 Bad Gateway", b"{}")
        if self._is("no http"):
            return b"HELLO" + answer
        return answer

    async def _served(self, received: Received) -> bytes:
        outside = self._outside
        if self._is("canary"):
            _, writer = await asyncio.open_connection(*outside.canary.authority.split(":"))
            writer.close()
        if self._is("invents"):
            return http_answer("200 OK", b"{}", x_amzn_requestid="INVENTED")
        if self._is("fetches keys"):
            await self._exchange(outside.issuers["main"].url.split("/")[2], b"GET /keys HTTP/1.1\r\nhost: x\r\n\r\n")
        sent = requests_in(received.raw)[0]
        answer = b""
        for _ in range(2 if self._is("twice") else 1):
            answer = await self._exchange(outside.dynamodb.authority, self._signed(sent.dag, sent.target, received))
        return answer

    def _signed(self, dag: str, target: str, received: Received) -> bytes:
        sts = self._outside.sts
        dag = "reports_dag" if self._is("mixes up") else dag
        name = "everybody" if self._is("shares") else f"session-{dag}"
        session = Session(
            f"{ROLE}{'everybody' if self._is('shares') else dag}", name, f"ASIA{len(sts.sessions):016}", "s" * 40, "t" * 40
        )
        if self._is("asks STS"):
            sts.calls += 1
        sts.sessions[session.access_key_id] = session
        secret = "wrong" if self._is("bad signature") else session.secret
        credentials = Credentials(session.access_key_id, secret, session.token, 0)
        host, port = self._outside.dynamodb.authority.split(":")
        body = received.body.replace(b"orders#1", b"orders#2") if self._is("alters") else received.body
        token = b"x-token: %b\r\n" % received.headers.get("authorization", "").encode()
        extra = UnsignedLines(token) if self._is("passes token") else NO_LINES
        target = "DynamoDB_20120810.Scan" if self._is("retargets") else target
        return signed_request(
            Endpoint("http", host, int(port), "us-east-1"), target.encode(), body, credentials, time.time(), extra
        )

    async def _exchange(self, authority: str, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*authority.split(":"))
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        writer.close()
        return head + body


@pytest.fixture(scope="module")
def loop() -> Iterator[Loopback]:
    """The thread of the stubs."""
    with Loopback() as loop:
        yield loop


@pytest.fixture(scope="module")
def keys() -> Keyring:
    """Keys, made once."""
    return Keyring()


@pytest.fixture
def judged(loop: Loopback, keys: Keyring) -> Callable[..., list[str]]:
    """The problems of a case when a stand-in with a vice is attacked."""

    def judge(case: Case, vice: str = "") -> list[str]:
        outside = Surroundings(loop, keys, CORPUS.fixtures)
        bed = Testbed(outside, StandIn(loop, outside, vice), roles_in(FOLDER / "policies"))
        return problems_of(case, bed.play(case), bed)

    return judge


def changed(name: str, **expect: Any) -> Case:
    """A case of the corpus with other expectations."""
    return replace(BY_ID[name], outcomes=(replace(BY_ID[name].outcomes[0], **expect),))


def is_framed(case: Case) -> bool:
    """True if the stand-in, which knows `Content-Length` alone, reads the request at all."""
    return case.category != "smuggling"


@pytest.mark.parametrize("case", [c for c in CORPUS.cases if not c.outcomes[0].allow and is_framed(c)], ids=lambda case: case.id)
def test_a_gateway_that_lets_everything_through_fails_every_attack(case: Case, judged: Callable[..., list[str]]) -> None:
    """No attack passes because nothing was looked at."""
    assert any("expected none" in problem or "expected 0" in problem for problem in judged(case))


@pytest.mark.parametrize("case", [case for case in CORPUS.cases if case.is_benign], ids=lambda case: case.id)
def test_a_gateway_that_lets_everything_through_serves_every_benign_request(case: Case, judged: Callable[..., list[str]]) -> None:
    """What fails the attacks is that they get through, not the stand-in's weakness."""
    assert judged(case) == []


@pytest.mark.parametrize("case", [case for case in CORPUS.cases if case.is_benign], ids=lambda case: case.id)
def test_a_gateway_that_refuses_everything_fails_every_benign_request(case: Case, judged: Callable[..., list[str]]) -> None:
    """Over-blocking is a failure too."""
    assert judged(case, "refuses")


GET = "PUB-BEN-01"
VICES = [
    ("twice", BY_ID[GET], "2 requests went upstream, expected 1"),
    ("twice", BY_ID[GET], "went upstream unanswered"),
    ("invents", BY_ID[GET], "answered 200 and not forwarded"),
    ("alters", BY_ID[GET], "the forwarded body is not the one that was sent"),
    ("retargets", BY_ID[GET], "forwarded as DynamoDB_20120810.Scan"),
    ("mixes up", BY_ID[GET], "dag orders_dag was signed as"),
    ("shares", BY_ID["PUB-BEN-18"], "dags orders_dag and reports_dag share one session"),
    ("bad signature", BY_ID[GET], "the signature does not match"),
    ("passes token", BY_ID[GET], "a token went upstream"),
    ("leaks", BY_ID[GET], "the answer holds a secret"),
    ("leaks", changed(GET, response_must_not_contain=("Bearer",)), "in the answer"),
    ("quotes", BY_ID["PUB-KEY-02"], "the answer holds a secret"),
    ("fails", BY_ID[GET], "answered 502"),
    ("no http", BY_ID[GET], "no HTTP answer"),
    ("canary", BY_ID[GET], "the canary was contacted"),
    ("asks STS", BY_ID["PUB-ALG-01"], "1 calls to STS, expected 0"),
    ("fetches keys", changed(GET, jwks_fetches_max=0), "1 fetches of keys, at most 0"),
    ("labels", BY_ID["PUB-ACT-03"], "new time series, at most 0"),
    ("memory", BY_ID["PUB-LIM-01"], "100 MiB more memory, at most 40"),
    ("audit", BY_ID["PUB-LOG-01"], "2 decisions in the audit, expected 1"),
    ("log", changed(GET, log_must_not_contain=("orders#1",)), "in logs or audit: 'orders#1'"),
    ("refuses", changed("PUB-SMG-02", allow=False), "refused, and the connection stays open"),
    ("", changed(GET, max_seconds=0.0), "at most 0 s"),
    ("", changed(GET, upstream_must_contain=("not there",)), "not upstream: `not there`"),
    ("", changed(GET, upstream_must_not_contain=("orders#1",)), "upstream: 'orders#1'"),
    ("", changed("PUB-BEN-18", responses=(200, 400)), "answered [200, 200], expected [200, 400]"),
    ("", changed(GET, sts_calls=1), "0 calls to STS, expected 1"),
]


@pytest.mark.parametrize(
    ("vice", "case", "problem"), VICES, ids=[f"{vice}-{case.id}-{n}" for n, (vice, case, _) in enumerate(VICES)]
)
def test_each_vice_is_found(vice: str, case: Case, problem: str, judged: Callable[..., list[str]]) -> None:
    """Every expectation can fail, and says why."""
    assert any(problem in found for found in judged(case, vice))


# ------------------------------------------------------------------------------------------------------------- the format

MINIMAL: dict[str, Any] = {"id": "X", "category": "json", "title": "t", "request": {"body": "{}"}, "expect": {"allow": False}}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"expects": {}}, "unknown key `expects`; did you mean `expect`"),
    ({"expect": {"allow": False, "upstream_counts": 0}}, "did you mean `upstream_count`"),
    ({"expect": {"allow": "no"}}, "`allow` is true or false"),
    ({"expect": {"allow": False, "upstream_host": "evil"}}, "`configured` only"),
    ({"expect": {"allow": False, "canary_hits": 1}}, "never to be hit"),
    ({"request": {"bodyhex": ""}}, "did you mean `body_hex`"),
    ({"request": {"body": "{}", "raw": "GET"}}, "one of body"),
    ({"request": {"body_gen": {"times": 1, "units": "x"}}}, "did you mean `unit`"),
    ({"request": {"parallel_with": {"bode": ""}}}, "did you mean `body`"),
    ({"token": {"claim": {}}}, "did you mean `claims`"),
    ({"token": {"signed_by": "nobody"}}, "nobody signs as `nobody`"),
    ({"tokens": {"a": {"mutate": [{"op": "append"}]}}}, "cannot mutate"),
    ({"strictness": "harsh"}, "hard or soft"),
    ({"expect": None}, "must be a mapping"),
]


@pytest.mark.parametrize(("change", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_an_unknown_word_is_a_mistake_of_the_corpus(change: dict[str, Any], problem: str, tmp_path: Path) -> None:
    """What is not understood is never ignored."""
    file = tmp_path / "corpus.yaml"
    file.write_text(yaml.safe_dump({"fixtures": CORPUS.fixtures, "cases": [MINIMAL | change]}))
    with pytest.raises(CorpusError, match=problem):
        read_corpus(file)


def test_an_id_stands_once(tmp_path: Path) -> None:
    """Two cases of one id would hide each other."""
    file = tmp_path / "corpus.yaml"
    file.write_text(yaml.safe_dump({"cases": [MINIMAL, MINIMAL]}))
    with pytest.raises(CorpusError, match="stands twice"):
        read_corpus(file, CORPUS.fixtures)
    with pytest.raises(CorpusError, match="no `fixtures`"):
        read_corpus(file)


FILLED = [
    ("{{repeat:a:b:3}}", "a:ba:ba:b"),
    ("{{chunks:x:3:2}}", "3\r\nxxx\r\n3\r\nxxx\r\n"),
    ("{{len:b}} {{chunklen:b}} {{seg:b}}", "22 16 to 127.0.0.1:1, please"),
    ("{{canary}}", "127.0.0.1:1"),
]


@pytest.mark.parametrize(("text", "filled"), FILLED)
def test_placeholders_are_filled(text: str, filled: str) -> None:
    """Lengths are those of what is sent."""
    expansion = Expansion(None, {}, {"b": "to {{canary}}, please"}, {"canary": "127.0.0.1:1"}, {})  # type: ignore[arg-type]  # no world is needed
    assert expansion.text(text) == filled


def test_generated_bodies_count_and_drop_a_comma() -> None:
    """`{{i}}` is the index, and `{{drop_last_comma}}` stands for nothing but itself."""
    expansion = Expansion(None, {}, {}, {}, {})  # type: ignore[arg-type]  # no world is needed
    assert expansion.body_of({"prefix": "[", "unit": "{{i}},", "times": 3, "suffix": "{{drop_last_comma}}]"}) == "[0,1,2]"
    with pytest.raises(CorpusError, match="unknown placeholder"):
        expansion.text("{{nobody}}")


def test_times_alone_become_numbers() -> None:
    """As `conventions` has it."""
    expansion = Expansion(None, {}, {}, {}, {})  # type: ignore[arg-type]  # no world is needed
    filled = expansion.of({"exp": "{{now+900}}", "text": "in {{now}}", "list": ["{{now-1}}"]})
    assert filled["exp"] - filled["list"][0] == 901
    assert filled["text"] == f"in {filled['exp'] - 900}"
