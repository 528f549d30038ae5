"""botocore's signer, at a time of a test's own choosing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.credentials import Credentials


class _SignerAt(SigV4Auth):
    def sign(self, request: Any, moment: float) -> dict[str, str]:
        request.context["timestamp"] = datetime.fromtimestamp(moment, UTC).strftime("%Y%m%dT%H%M%SZ")
        self._modify_request_before_signing(request)
        signature = self.signature(self.string_to_sign(request, self.canonical_request(request)), request)
        self._inject_signature_to_request(request, signature)
        return {name.lower(): value for name, value in request.headers.items()}


def signed_headers(
    credentials: Credentials,
    headers: Mapping[str, str],
    body: bytes,
    *,
    service: str = "dynamodb",
    region: str = "eu-west-1",
    moment: float | None = None,
) -> dict[str, str]:
    """`headers` (with `host`) and those that sign them, names in lower case, for `POST /`."""
    request = AWSRequest("POST", "http://gateway.test/", data=body, headers=dict(headers))
    return _SignerAt(credentials, service, region).sign(request, time.time() if moment is None else moment)
