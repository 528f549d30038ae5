"""Operations on tables, backups, streams and the account: every table, account and Region that they reach is a touch."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy import actions
from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.control_members import CONTROL_INPUTS
from proxy.dynamodb.control_touches import CONTROL_TOUCHES
from proxy.dynamodb.operation import read_operation
from proxy.dynamodb.shapes import ListOf, Matching, Shape, Structure
from proxy.model import TableReference
from proxy.refusal import Unreadable

TARGETS = {row.name: row.target.encode() for row in OPERATIONS}
ARN = "arn:aws:dynamodb:us-east-1:111122223333:table/orders"
HOME = TableReference("orders", "aws", "us-east-1", "111122223333")
THEIRS = "arn:aws:dynamodb:eu-west-1:999999999999:table/secrets"
SECRETS = TableReference("secrets", "aws", "eu-west-1", "999999999999")
ORDERS = TableReference("orders")
FOREIGN_KEY = "arn:aws:kms:us-east-1:999999999999:key/1234"
FOREIGN_ROLE = "arn:aws:iam::999999999999:role/scaling"
AT_FOREIGN_KEY = TableReference("orders", "aws", "us-east-1", "999999999999")
AT_FOREIGN_ROLE = TableReference("orders", "aws", "", "999999999999")
SCALING = {"AutoScalingRoleArn": FOREIGN_ROLE}
ABROAD = ORDERS._replace(region="eu-west-2")
LABEL = "01489602797149-73d8d5bc"
SCHEMA = [{"AttributeName": "pk", "KeyType": "HASH"}]
DEFINITION = [{"AttributeName": "pk", "AttributeType": "S"}]


def touches(name: str, **body: Any) -> list[tuple[str, TableReference]]:
    """Action and table of each touch; none has items or a place."""
    operation = read_operation(TARGETS[name], orjson.dumps(body))
    assert all(touch.facts is None and touch.position == 0 for touch in operation.touches)
    return [(touch.action, touch.table) for touch in operation.touches]


@pytest.mark.parametrize(
    ("name", "body", "table"),
    [
        ("DescribeTable", {"TableName": "orders"}, ORDERS),
        ("DescribeTable", {"TableName": ARN}, HOME),
        ("DeleteTable", {"TableName": THEIRS}, SECRETS),
        (
            "UpdateTimeToLive",
            {"TableName": "orders", "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "ttl"}},
            ORDERS,
        ),
        ("DescribeGlobalTable", {"GlobalTableName": "orders"}, ORDERS),
        ("TagResource", {"ResourceArn": ARN, "Tags": []}, HOME),
        ("PutResourcePolicy", {"ResourceArn": f"{ARN}/stream/2026-01-01T00:00:00.000", "Policy": "{}"}, HOME),
        ("DescribeBackup", {"BackupArn": f"{ARN}/backup/{LABEL}"}, HOME),
        ("DescribeExport", {"ExportArn": f"{THEIRS}/export/{LABEL}"}, SECRETS),
        ("DescribeImport", {"ImportArn": f"{ARN}/import/{LABEL}"}, HOME),
        ("CancelBulkOperation", {"BulkOperationArn": f"{ARN}/bulk-operation/{LABEL}"}, HOME),
        ("DescribeStream", {"StreamArn": f"{ARN}/stream/2026-01-01T00:00:00.000"}, HOME),
        ("ListExports", {"TableArn": ARN}, HOME),
        ("ListBackups", {"TableName": "orders"}, ORDERS),
    ],
)
def test_the_table_is_found_in_name_and_arn(name: str, body: Any, table: TableReference) -> None:
    """A backup, export or stream is its table's; account and Region of an ARN are kept."""
    assert touches(name, **body) == [(name, table)]


@pytest.mark.parametrize("name", sorted(actions.ACCOUNT | actions.OPTIONAL_TABLE))
def test_what_names_no_table_is_about_all_of_them(name: str) -> None:
    """The touch has an empty name, which no glob over tables means."""
    assert touches(name) == [(name, TableReference(""))]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("ListTables", {"ExclusiveStartTableName": "secrets"}),
        ("ListStreams", {"ExclusiveStartStreamArn": f"{THEIRS}/stream/x"}),
        ("ListBackups", {"ExclusiveStartBackupArn": f"{THEIRS}/backup/{LABEL}"}),
        ("ListGlobalTables", {"ExclusiveStartGlobalTableName": "secrets", "RegionName": "eu-west-2"}),
    ],
)
def test_cursors_are_no_tables(name: str, body: Any) -> None:
    """They say where a list goes on."""
    assert touches(name, **body) == [(name, TableReference(""))]


def test_an_index_is_named_by_its_own_name() -> None:
    """Contributor insights of an index are not those of its table."""
    operation = read_operation(TARGETS["DescribeContributorInsights"], b'{"TableName":"orders","IndexName":"by_status"}')
    assert [(touch.table, touch.index) for touch in operation.touches] == [(ORDERS, "by_status")]


@pytest.mark.parametrize(
    ("name", "body", "also"),
    [
        ("CreateTable", {"TableName": "orders", "ResourcePolicy": "{}"}, [("PutResourcePolicy", ORDERS)]),
        ("CreateTable", {"TableName": "orders", "Tags": [{"Key": "a", "Value": "b"}]}, [("TagResource", ORDERS)]),
        ("CreateTable", {"TableName": "orders", "GlobalTableSourceArn": THEIRS},
         [("CreateTableReplica", ORDERS), ("AssociateTableReplica", SECRETS)]),
        ("CreateTable", {"TableName": "orders", "SSESpecification": {"KMSMasterKeyId": FOREIGN_KEY}},
         [("CreateTable", AT_FOREIGN_KEY)]),
        ("CreateTable", {"TableName": "orders", "SSESpecification": {"KMSMasterKeyId": FOREIGN_KEY + ":a:b"}},
         [("CreateTable", AT_FOREIGN_KEY)]),
        ("CreateTable", {"TableName": "orders", "SSESpecification": {"KMSMasterKeyId": "alias/orders"}}, []),
        ("UpdateTable", {"TableName": "orders", "BillingMode": "PAY_PER_REQUEST"}, []),
        ("UpdateTable", {"TableName": "orders", "DeletionProtectionEnabled": False},
         [("UpdateTable.DeletionProtectionEnabled", ORDERS)]),
        ("UpdateTable", {"TableName": "orders", "DisassociationProtectionEnabled": False},
         [("UpdateTable.DisassociationProtectionEnabled", ORDERS)]),
        ("UpdateTable", {"TableName": "orders", "MultiRegionConsistency": "STRONG"},
         [("UpdateTable.MultiRegionConsistency", ORDERS)]),
        ("UpdateTable", {"TableName": "orders", "GlobalTableSettingsReplicationMode": "ENABLED"},
         [("UpdateTable.GlobalTableSettingsReplicationMode", ORDERS)]),
        ("UpdateTable", {"TableName": "orders", "VectorIndexUpdates": [{"Delete": {"IndexName": "by_meaning"}}]},
         [("UpdateTable.VectorIndexUpdates", ORDERS)]),
        ("UpdateTable", {"TableName": "orders", "StreamSpecification": {"StreamEnabled": True}},
         [("UpdateTable.StreamSpecification", ORDERS)]),
        ("UpdateTable", {"TableName": "orders", "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "by_status"}}]},
         [("UpdateTable.GlobalSecondaryIndexUpdates", ORDERS)]),
        ("UpdateTable", {"TableName": "orders", "SSESpecification": {"KMSMasterKeyId": FOREIGN_KEY}},
         [("UpdateTable.SSESpecification", AT_FOREIGN_KEY), ("UpdateTable.SSESpecification", ORDERS)]),
        ("UpdateTable", {"TableName": "orders", "ReplicaUpdates": [
            {"Create": {"RegionName": "eu-west-2", "KMSMasterKeyId": FOREIGN_KEY}}, {"Update": {"RegionName": "eu-west-2"}},
            {"Delete": {"RegionName": "eu-west-2"}},
            {"Disassociate": {"RegionName": "eu-west-2", "DisassociationMode": "WAIT_FOR_REPLICATION"}},
        ]}, [("CreateTableReplica", ABROAD), ("CreateTableReplica", AT_FOREIGN_KEY), ("UpdateTable", ABROAD),
             ("DeleteTableReplica", ABROAD), ("DisassociateTableReplica", ABROAD)]),
        ("UpdateTable", {"TableName": "orders", "GlobalTableWitnessUpdates": [{"Create": {"RegionName": "eu-west-2"}}]},
         [("CreateGlobalTableWitness", ABROAD)]),
        ("UpdateTable", {"TableName": "orders", "GlobalTableWitnessUpdates": [{"Delete": {"RegionName": "eu-west-2"}}]},
         [("DeleteGlobalTableWitness", ABROAD)]),
        ("CreateGlobalTable", {"GlobalTableName": "orders", "ReplicationGroup": [{"RegionName": "eu-west-2"}]},
         [("CreateGlobalTable", ABROAD)]),
        ("UpdateGlobalTable", {"GlobalTableName": "orders", "ReplicaUpdates": [
            {"Create": {"RegionName": "eu-west-2"}}, {"Delete": {"RegionName": "eu-west-3"}},
        ]}, [("UpdateGlobalTable", ABROAD), ("UpdateGlobalTable", ORDERS._replace(region="eu-west-3"))]),
        ("UpdateGlobalTableSettings", {"GlobalTableName": "orders", "ReplicaSettingsUpdate": [{"RegionName": "eu-west-2",
          "ReplicaGlobalSecondaryIndexSettingsUpdate": [
              {"IndexName": "by_status", "ProvisionedReadCapacityAutoScalingSettingsUpdate": SCALING}]}]},
         [("UpdateGlobalTableSettings", ABROAD), ("UpdateGlobalTableSettings", AT_FOREIGN_ROLE)]),
        ("UpdateTableReplicaAutoScaling", {"TableName": "orders", "ProvisionedWriteCapacityAutoScalingUpdate": SCALING},
         [("UpdateTableReplicaAutoScaling", AT_FOREIGN_ROLE)]),
        ("EnableKinesisStreamingDestination",
         {"TableName": "orders", "StreamArn": "arn:aws:kinesis:us-east-1:999999999999:stream/theirs"},
         [("EnableKinesisStreamingDestination", AT_FOREIGN_KEY)]),
        ("StartBulkPutItems", {"TableName": "orders", "InputS3Configuration": {"S3Bucket": "in", "InputFormat": "ION"},
          "OutputS3Configuration": {"S3Bucket": "out", "S3BucketOwner": "999999999999", "OutputType": ["ERROR"]}},
         [("StartBulkPutItems", ORDERS._replace(account="999999999999"))]),
    ],
)  # fmt: skip
def test_dangerous_members_need_more(name: str, body: Any, also: list[tuple[str, TableReference]]) -> None:
    """A policy, tags, replicas, keys, roles and buckets: an action of its own, or the table as seen from there."""
    assert touches(name, **body) == [(name, ORDERS), *also]


@pytest.mark.parametrize(
    ("key", "seen"),
    [
        ("arn:aws:kms:eu-west-2:999999999999:key/1", HOME._replace(region="eu-west-2", account="999999999999")),
        ("1234abcd", HOME),
    ],
)
def test_a_key_is_where_its_arn_says(key: str, seen: TableReference) -> None:
    """Partition, Region and account of the key, whatever those of the table; a bare id is the caller's own."""
    also = ("UpdateTable.SSESpecification", seen)
    assert also in touches("UpdateTable", TableName=ARN, SSESpecification={"KMSMasterKeyId": key})


def test_a_role_is_in_the_region_of_its_table() -> None:
    """IAM has no Regions: a role is foreign by its account, not by lacking what no role has."""
    body = {"TableName": ARN, "ProvisionedWriteCapacityAutoScalingUpdate": SCALING}
    assert touches("UpdateTableReplicaAutoScaling", **body)[1:] == [
        ("UpdateTableReplicaAutoScaling", HOME._replace(account="999999999999"))
    ]


def test_export_and_import_reach_the_bucket_s_owner() -> None:
    """Without an owner the bucket is the caller's own, says DynamoDB."""
    bucket = {"S3Bucket": "exports", "S3BucketOwner": "999999999999"}
    foreign = HOME._replace(account="999999999999")
    assert touches("ExportTableToPointInTime", TableArn=ARN, **bucket) == [
        ("ExportTableToPointInTime", HOME),
        ("ExportTableToPointInTime", foreign),
    ]
    assert touches("ExportTableToPointInTime", TableArn=ARN, S3Bucket="bucket", S3SseKmsKeyId=FOREIGN_KEY)[1:] == [
        ("ExportTableToPointInTime", foreign)
    ]
    created = {"TableName": "orders", "AttributeDefinitions": DEFINITION, "KeySchema": SCHEMA}
    assert touches("ImportTable", S3BucketSource=bucket, InputFormat="CSV", TableCreationParameters=created) == [
        ("ImportTable", ORDERS),
        ("ImportTable", ORDERS._replace(account="999999999999")),
    ]


def test_a_restore_reaches_source_and_target() -> None:
    """Every source that is named, by name and by ARN, and the table that is made."""
    name = "RestoreTableToPointInTime"
    assert touches("RestoreTableFromBackup", TargetTableName="copy", BackupArn=f"{THEIRS}/backup/{LABEL}") == [
        ("RestoreTableFromBackup", TableReference("copy")),
        ("RestoreTableFromBackup", SECRETS),
    ]
    assert touches(name, TargetTableName="copy", SourceTableName="orders", SourceTableArn=THEIRS) == [
        (name, TableReference("copy")),
        (name, SECRETS),
        (name, ORDERS),
    ]
    with pytest.raises(Unreadable, match="lacks `SourceTableArn` or `SourceTableName`"):
        touches(name, TargetTableName="copy")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("DescribeBackup", {"BackupArn": f"{ARN}/stream/{LABEL}"}),
        ("DescribeBackup", {"BackupArn": ARN}),
        ("DescribeBackup", {"BackupArn": "arn:aws:backup:us-east-1:111122223333:recovery-point:1234abcd"}),
        ("TagResource", {"ResourceArn": f"{ARN}/index/by_status", "Tags": []}),
        ("TagResource", {"ResourceArn": "orders", "Tags": []}),
        ("DescribeStream", {"StreamArn": "arn:aws:kinesis:us-east-1:111122223333:stream/orders"}),
        ("DescribeStream", {"StreamArn": f"{ARN}/stream/../../secrets/stream/x"}),
        ("EnableKinesisStreamingDestination", {"TableName": "orders", "StreamArn": f"{ARN}/stream/x"}),
        ("RestoreTableFromBackup", {"TargetTableName": THEIRS, "BackupArn": f"{ARN}/backup/{LABEL}"}),
        ("ListStreams", {"TableName": ARN}),
        ("UpdateTable", {"TableName": "orders", "ReplicaUpdates": [{"Create": {"RegionName": "*"}}]}),
        ("UpdateTable", {"TableName": "orders", "ReplicaUpdates": [{}]}),
        ("CreateTable", {"TableName": "orders", "SSESpecification": {"KMSMasterKeyId": "arn:aws:kms:::key/1"}}),
        ("ExportTableToPointInTime", {"TableArn": ARN, "S3Bucket": "bucket", "S3BucketOwner": "12345678901\u0663"}),
        ("ExportTableToPointInTime", {"TableArn": ARN, "S3Bucket": "bucket", "ExportTime": "yesterday"}),
        ("ExportTableToPointInTime", {"TableArn": ARN, "S3Bucket": "bucket", "ExportTime": True}),
        ("ExportTableToPointInTime", {"TableArn": ARN, "S3Bucket": "arn:aws:s3:us-east-1:999999999999:accesspoint/a"}),
        ("ListTables", {"TableName": "orders"}),
    ],
)
def test_what_is_not_named_exactly_is_refused(name: str, body: Any) -> None:
    """Another kind of resource, another service, a wildcard, a member of another operation."""
    with pytest.raises(Unreadable):
        touches(name, **body)


def test_moments_may_have_fractions() -> None:
    """The members that are timestamps take them; infinity is out of range."""
    assert touches("ListBackups", TimeRangeLowerBound=1.5)
    with pytest.raises(Unreadable, match="must be a number from 0 to 1e"):
        read_operation(TARGETS["ListBackups"], b'{"TimeRangeLowerBound":1e400}')


def test_a_number_that_cannot_be_written_again_is_refused() -> None:
    """A whole number of 21 digits, in an operation that no rule need name, was answered as a defect of the gateway (500)."""
    scaling = b'{"ScalingPolicyUpdate":{"TargetTrackingScalingPolicyConfiguration":{"TargetValue":100000000000000000000}}}'
    body = b'{"TableName":"orders","ProvisionedWriteCapacityAutoScalingUpdate":%b}' % scaling
    with pytest.raises(Unreadable, match="TargetValue` of UpdateTableReplicaAutoScaling has too many digits"):
        read_operation(TARGETS["UpdateTableReplicaAutoScaling"], body)


# -------------------------------------------------------------------------------- nothing reaches out unseen

REACHING = {"KMS_KEY", "ACCOUNT", "KINESIS_ARN", "ROLE_ARN", "REGION"}


def reaching_members(shape: Shape, path: str = "") -> list[tuple[str, Matching]]:
    """The path of each member that is a name or ARN."""
    match shape:
        case Matching():
            return [(path, shape)]
        case ListOf():
            return reaching_members(shape.member, f"{path}[]")
        case Structure():
            return [found for name, member in shape.members.items() for found in reaching_members(member, f"{path}.{name}")]
        case _:
            return []


NO_REACH = {
    "IndexName",
    "S3Bucket",
    "BackupName",
    "ExclusiveStartBackupArn",
    "ExclusiveStartStreamArn",
    "ExclusiveStartTableName",
} | {"ExclusiveStartGlobalTableName"}


def with_value_at(path: str, value: str, shape: Shape) -> Any:
    """The least request that has `value` at `path`."""
    if not path:
        return value
    if path.startswith("[]"):
        assert isinstance(shape, ListOf)
        return [with_value_at(path[2:], value, shape.member)]
    assert isinstance(shape, Structure)
    member = path[1:].split(".")[0].split("[")[0]
    return {member: with_value_at(path[1 + len(member) :], value, shape.members[member])}


SAMPLES = {
    "table/": "arn:aws:dynamodb:xx-far-9:999999999999:table/faraway",
    "kms": "arn:aws:kms:xx-far-9:999999999999:key/1",
    "kinesis": "arn:aws:kinesis:xx-far-9:999999999999:stream/s",
    "iam": "arn:aws:iam::999999999999:role/r",
    "[0-9]{12}": "999999999999",
    "[a-z0-9\\-]{2,32}": "xx-far-9",
}


def sample(kind: Matching) -> str:
    """A foreign value of this kind."""
    if kind.pattern in SAMPLES:
        return SAMPLES[kind.pattern]
    if "table/" not in kind.pattern and "arn:" not in kind.pattern:
        return "faraway"
    service = next(name for name in ("kms", "kinesis", "iam", "table/") if name in kind.pattern)
    suffix = next((f"/{name}/x" for name in ("backup", "export", "import") if name in kind.pattern), "")
    suffix = suffix or ("/stream/x" if "/stream/" in kind.pattern and service == "table/" else "")
    return SAMPLES[service] + (suffix or ("/bulk/x" if "{1,32}/" in kind.pattern else ""))


@pytest.mark.parametrize(
    ("name", "path", "kind"),
    [
        (name, path, kind)
        for name, shape in CONTROL_INPUTS.items()
        for path, kind in reaching_members(shape)
        if path.rpartition(".")[2] not in NO_REACH and (name, path) != ("ListGlobalTables", ".RegionName")
    ],
)
def test_every_name_and_arn_of_every_operation_is_in_a_touch(name: str, path: str, kind: Matching) -> None:
    """Walked by the members, not by the rows: no table, account or Region can be named without being judged."""
    foreign = sample(kind)
    kind.judge()(foreign)
    request = with_value_at(path, foreign, CONTROL_INPUTS[name])
    if name == "RestoreTableToPointInTime":
        request.setdefault("SourceTableName", "orders")
    table = CONTROL_TOUCHES[name](request)
    seen = {part for touch in table for part in touch.table}
    assert seen & {"faraway", "xx-far-9", "999999999999"}


def test_no_request_reaches_more_than_a_hundred_regions() -> None:
    """There are fewer; each would be judged by itself."""
    replicas = [{"Delete": {"RegionName": f"eu-west-{number}"}} for number in range(101)]
    assert len(touches("UpdateTable", TableName="orders", ReplicaUpdates=replicas[:100])) == 101
    with pytest.raises(Unreadable, match="the body of UpdateTable has more than 100 members in `ReplicaUpdates`; send fewer"):
        touches("UpdateTable", TableName="orders", ReplicaUpdates=replicas)


def test_members_count_whether_they_reach_or_not() -> None:
    """Of a list each member, also one that has nothing at this place; of a list in a list all that is reached."""
    mixed = [{("Create", "Delete")[number % 2]: {"RegionName": f"eu-west-{number}"}} for number in range(101)]
    with pytest.raises(Unreadable, match="has more than 100 members in `ReplicaUpdates`; send fewer"):
        touches("UpdateTable", TableName="orders", ReplicaUpdates=mixed)
    scaling = {"IndexName": "by_status", "ProvisionedReadCapacityAutoScalingUpdate": SCALING}
    replicas = [{"RegionName": f"eu-west-{number}", "ReplicaGlobalSecondaryIndexUpdates": [scaling] * 51} for number in range(2)]
    with pytest.raises(Unreadable, match="has more than 100 members in `ReplicaUpdates`; send fewer"):
        touches("UpdateTableReplicaAutoScaling", TableName="orders", ReplicaUpdates=replicas)
