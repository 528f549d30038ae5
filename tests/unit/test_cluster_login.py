"""The running gateway before a cluster: keys, review and pod over HTTPS by its own authority, then DynamoDB; or nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from tests.fake_aws import fake_aws, running_gateway, settings_in
from tests.unit.identity.api_server import ApiServer, pod_object, projected
from tests.unit.identity.keyring import make_ring

if TYPE_CHECKING:
    from pathlib import Path

PLATFORM = """
workloads:
  pods: {issuer: cluster, subject: "system:serviceaccount:airflow:*", dags: [etl], dag_from: [annotation]}
"""
ISSUER = "https://kubernetes.default.svc.cluster.local"


def test_a_pods_token_reaches_dynamodb_while_its_cluster_stands_behind_it(tmp_path: Path) -> None:
    """A revoked token and a new one while the cluster is away reach nothing; one that was confirmed stays good for minutes."""
    ring, loop = make_ring(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(20)

    server = ApiServer(tmp_path, ring.rsa_a.jwk())
    run(server.__aenter__())
    try:
        with fake_aws() as aws:
            settings = settings_in(tmp_path, aws.url)
            (tmp_path / "policies" / "platform.yaml").write_text(PLATFORM)
            files = {"ca_file": str(server.ca_file), "token_file": str(server.token_file)}
            cluster = {"api": server.url, **files, "token_review": True, "pods": True}
            issuer = {"name": "cluster", "issuer": ISSUER, "audience": "dynamodb-proxy", "may_assert": ["*"]}
            settings["issuers"] = [issuer | {"kubernetes": cluster}]
            server.pod = pod_object(dag_id="etl", task_id="load", try_number="1")
            now = float(int(time.time()))
            tokens = [ring.rsa_a.token(projected(now, ISSUER, jti=name), typ=None).decode() for name in ("good", "gone", "away")]
            with running_gateway(tmp_path, settings) as gateway:
                gateway.until_ready()
                answers = [gateway.call(bearer=tokens[0])]
                server.review = {"authenticated": False, "error": "pod is gone"}
                answers.append(gateway.call(bearer=tokens[1]))
                server.allowed = set()
                answers.append(gateway.call(bearer=tokens[2]))
                answers.append(gateway.call(bearer=tokens[0]))
            reasons = [(status, headers.get("x-ddb-proxy-reason")) for status, headers, _ in answers]
            assert reasons == [(200, None), (400, "token_revoked"), (503, "cluster_unavailable"), (200, None)]
            assert len(aws.requests) == 2
    finally:
        run(server.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
