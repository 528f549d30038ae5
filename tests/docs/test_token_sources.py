"""The README's token sources, run: its settings and workloads, with tokens whose claims are as each provider writes them."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.__main__ import parser
from proxy.identity.binding import bind
from proxy.identity.token import Issuer, KeySource
from proxy.identity.verifier import TokenVerifier
from proxy.model import Claimed, Identity, Workload
from proxy.policy.store import policies_of
from proxy.refusal import Refusal
from proxy.settings import load_settings
from proxy.worker.token_sources import AwsWebIdentity, ClientCredentials, source_of
from tests.unit.identity.api_server import ApiServer, pod_object
from tests.unit.identity.keyring import Ring, SigningKey, make_ring

ROOT = Path(__file__).resolve().parents[2]
SOURCES: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests/cases/token_sources.yaml").read_text())
POLICY = "dags: {orders_daily: {role: 'arn:aws:iam::111122223333:role/r'}}"


@pytest.fixture(scope="module")
def section() -> str:
    """The README's "Token sources"."""
    found = re.search(r"^## Token sources\n(.*?)^## ", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def block_of(section: str, key: str) -> str:
    """The YAML block that begins with a key."""
    found = re.search(rf"```yaml\n({key}:\n.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def ring() -> Ring:
    """The issuers' keys."""
    return make_ring()


@pytest.fixture(scope="module")
def issuers(section: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Issuer]:
    """As the gateway reads them; files that the text names are put into a folder."""
    folder = tmp_path_factory.mktemp("settings")
    text = block_of(section, "issuers")
    for number, path in enumerate(sorted(set(re.findall(r"(?:_file): (/[\w./-]+)", text)))):
        (folder / str(number)).touch()
        text = text.replace(f": {path}", f": {folder / str(number)}")
    (folder / "policies").mkdir()
    (folder / "proxy.yaml").write_text(text + "aws: {region: eu-west-1}\n")
    return {issuer.name: issuer for issuer in load_settings(folder / "proxy.yaml", {}).issuers}


@pytest.fixture(scope="module")
def workloads(section: str) -> tuple[Workload, ...]:
    """As the gateway reads them."""
    return policies_of({"platform.yaml": block_of(section, "workloads"), "orders.yaml": POLICY}, "", "eu-west-1").workloads


def key_for(source: dict[str, Any], ring: Ring) -> SigningKey:
    """A key of the kind that the provider signs with."""
    return {"RS256": ring.rsa_a, "ES256": ring.ec_1, "ES384": ring.ec_384}[source["algorithm"]]


async def identity_of(
    source: dict[str, Any], changes: dict[str, Any], issuer: Issuer, workloads: tuple[Workload, ...], ring: Ring, folder: Path
) -> Identity:
    """What becomes of a token, with the keys in a file and the cluster a stub; the header claims a DAG as the plugin does."""
    from dataclasses import replace

    key, now = key_for(source, ring), time.time()
    (folder / "keys.json").write_text(json.dumps({"keys": [key.jwk()]}))
    claims = {"iat": int(now), "nbf": int(now), "exp": int(now) + 3600, "jti": "j", **source["claims"], **changes}
    token = key.token({name: value for name, value in claims.items() if value is not None}, **source.get("header", {}))
    async with ApiServer(folder) as server:
        server.pod = pod_object(**source.get("pod", {}))
        cluster = server.cluster() if issuer.cluster else None
        here = replace(issuer, keys=KeySource("jwks_file", str(folder / "keys.json")), cluster=cluster)
        verifier = TokenVerifier((here,))
        try:
            subject = await verifier.verify(token)
        finally:
            await verifier.close()
    return bind(subject, Claimed("" if source["source"] in ("eks", "onprem") else source["becomes"][1]), workloads, {})


@pytest.mark.parametrize("source", SOURCES, ids=[source["source"] for source in SOURCES])
def test_a_token_of_each_source_is_believed_as_told(
    source: dict[str, Any], issuers: dict[str, Issuer], workloads: tuple[Workload, ...], ring: Ring, tmp_path: Path
) -> None:
    """Subject, DAG and evidence."""
    identity = asyncio.run(identity_of(source, {}, issuers[source["source"]], workloads, ring, tmp_path))
    assert [identity.subject.subject, identity.dag_id, identity.evidence] == source["becomes"]
    assert identity.subject.issuer == source["source"]
    assert not identity.run_id or source["source"] == "onprem"


REFUSED = [(source, changes) for source in SOURCES for changes in source["refused"]]


@pytest.mark.parametrize(("source", "changes"), REFUSED, ids=[f"{source['source']}: {changes}" for source, changes in REFUSED])
def test_a_neighbours_token_is_not(
    source: dict[str, Any],
    changes: dict[str, Any],
    issuers: dict[str, Issuer],
    workloads: tuple[Workload, ...],
    ring: Ring,
    tmp_path: Path,
) -> None:
    """Another tenant, client, role, repository, kind of token or shape of claim, signed by the same keys."""
    with pytest.raises(Refusal):
        asyncio.run(identity_of(source, changes, issuers[source["source"]], workloads, ring, tmp_path))


def test_every_source_of_the_readme_has_its_claims(issuers: dict[str, Issuer], workloads: tuple[Workload, ...]) -> None:
    """And every issuer its workload."""
    assert list(issuers) == [source["source"] for source in SOURCES]
    assert {workload.issuer for workload in workloads} == set(issuers)


def test_the_commands_are_understood(section: str) -> None:
    """Each line of the worker's commands, options and all."""
    found = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert found is not None
    kinds = []
    for line in found[1].splitlines():
        options = vars(parser().parse_args(shlex.split(line, comments=True)[1:]))
        kinds.append(None if options["file"] else type(source_of(options, {})))
    assert kinds == [None, ClientCredentials, ClientCredentials, ClientCredentials, ClientCredentials, AwsWebIdentity]
