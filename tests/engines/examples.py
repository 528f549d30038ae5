"""Calls that must not be refused: each is a DAG of its own, whose policy grants exactly what its `@needs` lists.

A rule that none of its calls used fails the test too, so no grant here is wider than the call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.stack.process import wait_until
from tests.stack.worker import worker_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from boto3.session import Session

    from tests.stack.gateway import Gateway

    Run = Callable[["Worker"], None]

ROLE = "ddb-examples"  # it may do everything, so that only the policies say no
WORKLOADS = """\
workloads:
  pool: {issuer: idp, subject: worker-pool, dags: ["*"], dag_from: [header]}
"""


class Worker(NamedTuple):
    """A task of one example's DAG: a boto3 session, and where its endpoint stands."""

    session: Session
    url: str

    def client(self, service: str = "dynamodb") -> Any:
        """A client of `dynamodb` or `dynamodbstreams`."""
        return self.session.client(service, endpoint_url=self.url)

    def resource(self) -> Any:
        """The resource API of DynamoDB."""
        return self.session.resource("dynamodb", endpoint_url=self.url)

    def table(self, name: str) -> Any:
        """One table of it."""
        return self.resource().Table(name)


class Example(NamedTuple):
    """One call, or a few that belong together."""

    rules: tuple[str, ...]
    run: Run


class Examples:
    """The examples of one file; `tables` is the file's section of the policy."""

    def __init__(self, tables: str) -> None:
        self._tables = tables
        self._by_name: dict[str, Example] = {}

    def needs(self, *rules: str) -> Callable[[Run], Run]:
        """The allow rules of the decorated example's DAG."""

        def add(run: Run) -> Run:
            self._by_name[run.__name__] = Example(rules, run)
            return run

        return add

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def policies(self) -> dict[str, str]:
        """The files: one DAG for each example, each rule on a line of its own."""
        lines = [f"tables: {self._tables}", "dags:"]
        for name, example in self._by_name.items():
            lines += [f"  {name}:", f"    role: arn:aws:iam::000000000000:role/{ROLE}", "    allow:"]
            lines += [f"      - {rule}" for rule in example.rules]
        return {"platform.yaml": WORKLOADS, "examples.yaml": "\n".join(lines) + "\n"}

    def pass_through(self, name: str, gateway: Gateway, token: str) -> None:
        """Run one example: a refusal is its ClientError. NotReady where a rule is used by none of its calls."""
        example = self._by_name[name]
        example.run(worker(gateway, token, name))

        def are_all_used() -> bool:  # reads are audited a little later
            return len(_rules_used(gateway, name)) == len(example.rules)

        wait_until(are_all_used, 10, f"each of {len(example.rules)} rules of `{name}` is used")


def _rules_used(gateway: Gateway, dag: str) -> set[str]:
    decisions = [record for record in gateway.records() if record["record"] == "decision" and record["dag"] == dag]
    return {place for record in decisions for place in record["rule"].split(", ")}


def worker(gateway: Gateway, token: str, dag: str) -> Worker:
    """A worker of a pool: its token names no DAG, a header does."""
    session = worker_session(token)
    session.events.register("before-sign.*.*", lambda request, **_: request.headers.add_header("X-Airflow-Dag-Id", dag))
    return Worker(session, gateway.url)
