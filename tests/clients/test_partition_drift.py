"""The table of AWS's partitions against the newest botocore: a host that is not known would be called past the gateway.

Runs in the clients environment, where botocore is the newest.
"""

from __future__ import annotations

from typing import Any

import botocore
import pytest
from botocore.loaders import Loader

from proxy.worker.partitions import PARTITIONS, is_host_of_aws, suffix_of

MODELLED: list[dict[str, Any]] = Loader().load_data("partitions")["partitions"]
WHAT_TO_DO = f"in botocore {botocore.__version__}: write it in proxy/worker/partitions.py"


@pytest.mark.parametrize("partition", MODELLED, ids=[partition["id"] for partition in MODELLED])
def test_every_partition_is_in_the_table(partition: dict[str, Any]) -> None:
    """Its Regions have its suffix, and both its kinds of hosts are AWS's."""
    said = partition["outputs"]
    regions = [region for region in partition["regions"] if not region.endswith("-global")]  # these are no Regions
    assert regions
    assert {suffix_of(region) for region in regions} == {said["dnsSuffix"]}, WHAT_TO_DO
    for suffix in (said["dnsSuffix"], said["dualStackDnsSuffix"]):
        assert is_host_of_aws(f"dynamodb.{regions[0]}.{suffix}"), WHAT_TO_DO


def test_nothing_is_in_the_table_that_is_gone() -> None:
    """A suffix that is AWS's no more may be anybody's."""
    said = {(partition["outputs"]["dnsSuffix"], partition["outputs"]["dualStackDnsSuffix"]) for partition in MODELLED}
    assert {(partition.suffix, partition.dual_stack) for partition in PARTITIONS} == said
