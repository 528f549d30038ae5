"""Which tables an operation reaches that has no items: tables, indexes, backups, exports, streams, replicas, the account.

Each row is a member and the action that it needs, on the table as it is seen from there: a bucket's owner, a key, a role or a
replica's Region is where data or power goes to, so its account and Region become the table's, and what is not the caller's own
is foreign. A member that is dangerous by itself needs an action of its own beside the operation's.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from proxy.dynamodb.names import table_in
from proxy.dynamodb.values import Misfit
from proxy.model import TableReference, Touch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Sight: TypeAlias = Callable[[TableReference, Any], TableReference]

MAX_REACHED = 100  # by one member: more than there are Regions, or indexes of a table; 20,000 replicas would be judged for 0.15 s

# ------------------------------------------------------- what a member's value makes of the operation's table


def _itself(table: TableReference, _value: Any) -> TableReference:
    return table


def _other(_table: TableReference, value: Any) -> TableReference:
    """Another table, by name or ARN."""
    return table_in(value)


def _in_region(table: TableReference, value: Any) -> TableReference:
    return table._replace(region=value)


def _in_account(table: TableReference, value: Any) -> TableReference:
    return table._replace(account=value)


def _at_arn(table: TableReference, value: Any) -> TableReference:
    """Where a key, role or stream is at home; a key's id or alias is the caller's own."""
    if not value.startswith("arn:"):
        return table
    _, partition, _, region, account, _ = value.split(":", 5)
    return TableReference(table.name, partition, region or table.region, account)


class _Reach(NamedTuple):
    """If `path` is present, `action` is needed on the table as `sight` sees it. An empty action is the operation's own."""

    path: str  # members joined by `.`; `[]` after one that is a list
    sight: Sight
    action: str = ""


_TABLE_AT = {
    "TableName": """
        CreateBackup CreateTable DeleteTable DescribeContinuousBackups DescribeContributorInsights DescribeTable
        DescribeKinesisStreamingDestination DescribeTableReplicaAutoScaling DescribeTimeToLive
        DisableKinesisStreamingDestination EnableKinesisStreamingDestination ListBackups ListContributorInsights ListStreams
        StartBulkPutItems UpdateContinuousBackups UpdateContributorInsights UpdateKinesisStreamingDestination UpdateTable
        UpdateTableReplicaAutoScaling UpdateTimeToLive
    """,
    "GlobalTableName": """
        CreateGlobalTable DescribeGlobalTable DescribeGlobalTableSettings UpdateGlobalTable UpdateGlobalTableSettings
    """,
    "ResourceArn": "DeleteResourcePolicy GetResourcePolicy ListTagsOfResource PutResourcePolicy TagResource UntagResource",
    "StreamArn": "DescribeStream GetShardIterator",
    "TableArn": "ExportTableToPointInTime ListExports ListImports",
    "TargetTableName": "RestoreTableFromBackup RestoreTableToPointInTime",
    "BackupArn": "DeleteBackup DescribeBackup",
    "BulkOperationArn": "CancelBulkOperation DescribeBulkOperation",
    "ExportArn": "DescribeExport",
    "ImportArn": "DescribeImport",
    "TableCreationParameters.TableName": "ImportTable",
    "": "DescribeEndpoints DescribeLimits ListBulkOperations ListGlobalTables ListTables",  # the whole account
}

_REGION_OF_REPLICA = (
    _Reach("ReplicaUpdates[].Create.RegionName", _in_region),
    _Reach("ReplicaUpdates[].Delete.RegionName", _in_region),
)
_KINESIS = (_Reach("StreamArn", _at_arn),)
_REACHES: dict[str, tuple[_Reach, ...]] = {
    "CreateGlobalTable": (_Reach("ReplicationGroup[].RegionName", _in_region),),
    "CreateTable": (
        _Reach("GlobalTableSourceArn", _itself, "CreateTableReplica"),
        _Reach("GlobalTableSourceArn", _other, "AssociateTableReplica"),
        _Reach("ResourcePolicy", _itself, "PutResourcePolicy"),
        _Reach("Tags", _itself, "TagResource"),
        _Reach("SSESpecification.KMSMasterKeyId", _at_arn),
    ),
    "DisableKinesisStreamingDestination": _KINESIS,
    "EnableKinesisStreamingDestination": _KINESIS,
    "ExportTableToPointInTime": (_Reach("S3BucketOwner", _in_account), _Reach("S3SseKmsKeyId", _at_arn)),
    "ImportTable": (
        _Reach("S3BucketSource.S3BucketOwner", _in_account),
        _Reach("TableCreationParameters.SSESpecification.KMSMasterKeyId", _at_arn),
    ),
    "RestoreTableFromBackup": (_Reach("BackupArn", _other), _Reach("SSESpecificationOverride.KMSMasterKeyId", _at_arn)),
    "RestoreTableToPointInTime": (
        _Reach("SourceTableArn", _other),
        _Reach("SourceTableName", _other),
        _Reach("SSESpecificationOverride.KMSMasterKeyId", _at_arn),
    ),
    "StartBulkPutItems": (
        _Reach("InputS3Configuration.S3BucketOwner", _in_account),
        _Reach("OutputS3Configuration.S3BucketOwner", _in_account),
        _Reach("OutputS3Configuration.S3SseKmsKeyId", _at_arn),
    ),
    "UpdateGlobalTable": _REGION_OF_REPLICA,
    "UpdateGlobalTableSettings": (
        _Reach("ReplicaSettingsUpdate[].RegionName", _in_region),
        _Reach("GlobalTableProvisionedWriteCapacityAutoScalingSettingsUpdate.AutoScalingRoleArn", _at_arn),
        _Reach(
            "GlobalTableGlobalSecondaryIndexSettingsUpdate[].ProvisionedWriteCapacityAutoScalingSettingsUpdate.AutoScalingRoleArn",
            _at_arn,
        ),
        _Reach("ReplicaSettingsUpdate[].ReplicaProvisionedReadCapacityAutoScalingSettingsUpdate.AutoScalingRoleArn", _at_arn),
        _Reach(
            "ReplicaSettingsUpdate[].ReplicaGlobalSecondaryIndexSettingsUpdate[]"
            ".ProvisionedReadCapacityAutoScalingSettingsUpdate.AutoScalingRoleArn",
            _at_arn,
        ),
    ),
    "UpdateKinesisStreamingDestination": _KINESIS,
    "UpdateTable": (
        _Reach("ReplicaUpdates[].Create.RegionName", _in_region, "CreateTableReplica"),
        _Reach("ReplicaUpdates[].Create.KMSMasterKeyId", _at_arn, "CreateTableReplica"),
        _Reach("ReplicaUpdates[].Update.RegionName", _in_region),
        _Reach("ReplicaUpdates[].Update.KMSMasterKeyId", _at_arn),
        _Reach("ReplicaUpdates[].Delete.RegionName", _in_region, "DeleteTableReplica"),
        _Reach("ReplicaUpdates[].Disassociate.RegionName", _in_region, "DisassociateTableReplica"),
        _Reach("GlobalTableWitnessUpdates[].Create.RegionName", _in_region, "CreateGlobalTableWitness"),
        _Reach("GlobalTableWitnessUpdates[].Delete.RegionName", _in_region, "DeleteGlobalTableWitness"),
        _Reach("SSESpecification.KMSMasterKeyId", _at_arn, "UpdateTable.SSESpecification"),
        *(
            _Reach(member, _itself, f"UpdateTable.{member}")
            for member in (
                "DeletionProtectionEnabled",
                "DisassociationProtectionEnabled",
                "GlobalSecondaryIndexUpdates",
                "GlobalTableSettingsReplicationMode",
                "MultiRegionConsistency",
                "SSESpecification",
                "StreamSpecification",
                "VectorIndexUpdates",
            )
        ),
    ),
    "UpdateTableReplicaAutoScaling": (
        _Reach("ReplicaUpdates[].RegionName", _in_region),
        _Reach("ProvisionedWriteCapacityAutoScalingUpdate.AutoScalingRoleArn", _at_arn),
        _Reach("GlobalSecondaryIndexUpdates[].ProvisionedWriteCapacityAutoScalingUpdate.AutoScalingRoleArn", _at_arn),
        _Reach("ReplicaUpdates[].ReplicaProvisionedReadCapacityAutoScalingUpdate.AutoScalingRoleArn", _at_arn),
        _Reach(
            "ReplicaUpdates[].ReplicaGlobalSecondaryIndexUpdates[].ProvisionedReadCapacityAutoScalingUpdate.AutoScalingRoleArn",
            _at_arn,
        ),
    ),
}
_NOWHERE = TableReference("")


def _values_at(value: Any, path: str) -> Iterator[Any]:
    """Whatever stands at `path` below `value`."""
    member, _, rest = path.partition(".")
    name = member.removesuffix("[]")
    if name not in value:
        return
    for entry in value[name] if name != member else (value[name],):
        if rest:
            yield from _values_at(entry, rest)
        else:
            yield entry


def _reaching(operation: str, table_at: str) -> Callable[[Any], tuple[Touch, ...]]:
    reaches = _REACHES.get(operation, ())

    def touches_of(request: Any) -> tuple[Touch, ...]:
        table = next((table_in(text) for text in _values_at(request, table_at)), _NOWHERE)
        touches = [Touch(operation, table, request.get("IndexName", ""))]
        for path, sight, action in reaches:
            member, _, is_list = path.partition("[]")
            values = list(islice(_values_at(request, path), MAX_REACHED + 1))
            if len(values) > MAX_REACHED or (is_list and len(request.get(member, ())) > MAX_REACHED):
                raise Misfit(f"has more than {MAX_REACHED} members in `{member}`; send fewer at once")
            touches += [Touch(action or operation, sight(table, value)) for value in values]
        return tuple(dict.fromkeys(touches))

    return touches_of


def _restoring(request: Any) -> tuple[Touch, ...]:
    """DynamoDB would refuse it too, but what names no source could not be judged."""
    if request.keys().isdisjoint(("SourceTableArn", "SourceTableName")):
        raise Misfit("lacks `SourceTableArn` or `SourceTableName`")
    return _RESTORE(request)


CONTROL_TOUCHES: dict[str, Callable[[Any], tuple[Touch, ...]]] = {
    operation: _reaching(operation, table_at) for table_at, operations in _TABLE_AT.items() for operation in operations.split()
}
_RESTORE = CONTROL_TOUCHES["RestoreTableToPointInTime"]
CONTROL_TOUCHES["RestoreTableToPointInTime"] = _restoring
