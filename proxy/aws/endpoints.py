"""Where signed requests go, by Region and plane: from the settings alone, never from a request.

DynamoDB has a host for tables, one for streams and one for vector search in each Region. An endpoint that the settings name
stands for all planes that have none of their own, as emulators and VPC endpoints serve them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proxy.aws.sigv4 import Endpoint
from proxy.aws.tls_sessions import ResumingContext
from proxy.aws.upstream import UpstreamPool
from proxy.worker.partitions import suffix_of

if TYPE_CHECKING:
    from proxy.aws.upstream import PoolLimits
    from proxy.outbox import Outbox

_HOSTS = {"dynamodb": "dynamodb", "streams": "streams.dynamodb", "search": "search-dynamodb"}


def default_endpoint(region: str, plane: str) -> str:
    """AWS's own endpoint of a plane in a Region."""
    return f"https://{_HOSTS[plane]}.{region}.{suffix_of(region)}"


class Upstreams:
    """The pools, one for each endpoint. `endpoint_urls` maps planes to URLs that beat AWS's own; "" or absent: AWS's own."""

    def __init__(self, endpoint_urls: dict[str, str], ca_file: str, limits: PoolLimits, outbox: Outbox) -> None:
        self._endpoint_urls = endpoint_urls
        self._ca_file = ca_file
        self._limits = limits
        self._outbox = outbox
        self._pools: dict[tuple[str, str], UpstreamPool] = {}

    def pool_of(self, region: str, plane: str) -> UpstreamPool:
        """The pool of connections to it, made on first use: reads the trusted authorities. Raises OSError where it cannot."""
        pool = self._pools.get((region, plane))
        if pool is None:
            pool = self._pools[region, plane] = self._make(region, plane)
        return pool

    def _make(self, region: str, plane: str) -> UpstreamPool:
        url = urlsplit(self._endpoint_urls.get(plane) or default_endpoint(region, plane))
        is_tls = url.scheme == "https"
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname or ""
        endpoint = Endpoint("https" if is_tls else "http", host, url.port or (443 if is_tls else 80), region)
        trust = ResumingContext(self._ca_file) if is_tls else None
        return UpstreamPool(endpoint, trust, self._limits, self._outbox)

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.close()
