"""Where AWS's own hosts are, by Region: the one table by which the gateway finds DynamoDB and the worker knows AWS's addresses.

A test holds it against the partitions of the newest botocore (the file `partitions.json` there).
"""

from __future__ import annotations

from typing import NamedTuple


class Partition(NamedTuple):
    """Regions that share their hosts' suffix."""

    prefix: str  # of its Regions' names
    suffix: str
    dual_stack: str  # suffix of the hosts that have IPv6 as well


PARTITIONS = (
    Partition("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    Partition("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
    Partition("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    Partition("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    Partition("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    Partition("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    Partition("", "amazonaws.com", "api.aws"),  # all others, GovCloud's too
)
_SUFFIXES = tuple(f".{suffix}" for partition in PARTITIONS for suffix in (partition.suffix, partition.dual_stack))


def suffix_of(region: str) -> str:
    """`amazonaws.com`, or that of the Region's partition."""
    return next(partition.suffix for partition in PARTITIONS if region.startswith(partition.prefix))


def is_host_of_aws(host: str) -> bool:
    """True for a host of AWS's own, in lower case, in any partition."""
    return host.rstrip(".").endswith(_SUFFIXES)
