"""Tables as datasets; with a real Airflow and its openlineage provider in tests/airflow."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from proxy.worker.lineage import collect, get_provider_info, sanitize_uri, uri_of
from proxy.worker.usage import Table, Usage


def test_the_asset_of_a_table() -> None:
    """Region and name."""
    uri = uri_of(Table("eu-west-1", "orders"))
    assert uri == "dynamodb://eu-west-1/orders"
    assert sanitize_uri(urlsplit(uri)).geturl() == uri


@pytest.mark.parametrize("uri", ["dynamodb:///orders", "dynamodb://eu-west-1", "dynamodb://eu-west-1/", "dynamodb://r/a/b"])
def test_another_uri_is_no_table(uri: str) -> None:
    """And says what one is."""
    with pytest.raises(ValueError, match="dynamodb://<region>/<table>"):
        sanitize_uri(urlsplit(uri))


def test_without_airflow_nothing_is_collected() -> None:
    """The compatibility provider is not there."""
    collect(Usage())


def test_what_providers_say() -> None:
    """For Airflow 3 and 2.11, under the name of the distribution."""
    info = get_provider_info()
    assert info["package-name"] == "dynamodb-proxy"
    assert info["asset-uris"] == info["dataset-uris"]
