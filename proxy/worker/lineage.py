"""Tables as datasets of OpenLineage: namespace `dynamodb://<region>`, name the table's.

The naming specification has no entry for DynamoDB; this is its pattern `{scheme}://{place}` and what a worker knows. Needs the
common.compat provider, which the amazon provider brings, and nothing at import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from proxy.worker.usage import Table, Usage

SCHEME = "dynamodb"


def uri_of(table: Table) -> str:
    """The asset of a table."""
    return f"{SCHEME}://{table.region}/{table.name}"


def collect(usage: Usage) -> None:
    """Hand the tables to Airflow's lineage collector, which is idle where nobody reads it, such as the openlineage provider."""
    try:
        from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
    except ImportError:
        return
    collector = get_hook_lineage_collector()
    for table in sorted(usage.tables_read):
        collector.add_input_asset(context=usage, uri=uri_of(table))
    for table in sorted(usage.tables_written):
        collector.add_output_asset(context=usage, uri=uri_of(table))


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Airflow's check of an asset's URI. Raises ValueError."""
    if not uri.netloc or not uri.path.strip("/") or "/" in uri.path.strip("/"):
        raise ValueError("an asset of DynamoDB is written dynamodb://<region>/<table>")
    return uri


def convert_asset_to_openlineage(asset: Any, lineage_context: Any) -> Any:  # noqa: ARG001 - Airflow's signature
    """The dataset of an asset."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    uri = urlsplit(asset.uri)
    return Dataset(namespace=f"{SCHEME}://{uri.netloc}", name=uri.path.strip("/"))


def get_provider_info() -> dict[str, Any]:
    """What Airflow's provider discovery reads (entry point `apache_airflow_provider`): how to make datasets of these URIs."""
    place = "proxy.worker.lineage"
    uris = [
        {
            "schemes": [SCHEME],
            "handler": f"{place}.sanitize_uri",
            "to_openlineage_converter": f"{place}.convert_asset_to_openlineage",
        }
    ]
    return {
        "package-name": "dynamodb-proxy",
        "name": "DynamoDB gateway",
        "description": "Identity-aware gateway between Airflow and Amazon DynamoDB: the worker's side",
        "asset-uris": uris,
        "dataset-uris": uris,
    }
