"""Every operation of DynamoDB that the gateway has a name for, one word in one row. What is not here is unknown.

The product's own table: no service model is read at run time, and a drift check holds it against the newest botocore.
Whether an operation is an escalation, given by its exact name only, says `proxy.actions`.
"""

from __future__ import annotations

from typing import NamedTuple

_PREFIX = {"dynamodb": "DynamoDB_20120810.", "dynamodbstreams": "DynamoDBStreams_20120810."}


class KnownOperation(NamedTuple):
    """One row. `access` is what the operation can do at most: `read`, `write` items, or `admin`ister."""

    name: str
    service: str  # `dynamodb` or `dynamodbstreams`
    kind: str  # `data`, `partiql`, `control` or `streams`
    access: str

    @property
    def target(self) -> str:
        """The whole value of X-Amz-Target, case-sensitive."""
        return _PREFIX[self.service] + self.name

    @property
    def plane(self) -> str:
        """Which endpoint serves it: `dynamodb`, `streams` or `search`."""
        if self.name == "SearchVectors":
            return "search"
        return "streams" if self.kind == "streams" else "dynamodb"


_ROWS = {
    ("dynamodb", "data", "read"): """
        BatchGetItem GetItem Query Scan SearchVectors TransactGetItems
    """,
    ("dynamodb", "data", "write"): """
        BatchWriteItem DeleteItem PutItem TransactWriteItems UpdateItem
    """,
    ("dynamodb", "partiql", "write"): """
        BatchExecuteStatement ExecuteStatement ExecuteTransaction
    """,
    ("dynamodb", "control", "read"): """
        DescribeBackup DescribeBulkOperation DescribeContinuousBackups DescribeContributorInsights DescribeEndpoints
        DescribeExport DescribeGlobalTable DescribeGlobalTableSettings DescribeImport DescribeKinesisStreamingDestination
        DescribeLimits DescribeTable DescribeTableReplicaAutoScaling DescribeTimeToLive GetResourcePolicy ListBackups
        ListBulkOperations ListContributorInsights ListExports ListGlobalTables ListImports ListTables ListTagsOfResource
    """,
    ("dynamodb", "control", "admin"): """
        CancelBulkOperation CreateBackup CreateGlobalTable CreateTable DeleteBackup DeleteResourcePolicy DeleteTable
        DisableKinesisStreamingDestination EnableKinesisStreamingDestination ExportTableToPointInTime ImportTable
        PutResourcePolicy RestoreTableFromBackup RestoreTableToPointInTime StartBulkPutItems TagResource UntagResource
        UpdateContinuousBackups UpdateContributorInsights UpdateGlobalTable UpdateGlobalTableSettings
        UpdateKinesisStreamingDestination UpdateTable UpdateTableReplicaAutoScaling UpdateTimeToLive
    """,
    ("dynamodbstreams", "streams", "read"): """
        DescribeStream GetRecords GetShardIterator ListStreams
    """,
}

OPERATIONS: tuple[KnownOperation, ...] = tuple(
    KnownOperation(name, *group) for group, names in _ROWS.items() for name in names.split()
)
