"""Tables, tags and streams are served where a rule names the action: ministack checks the roles behind, newest boto3 asks.

Shard iterators go through two replicas of the gateway, which share nothing but the file with the sealing key.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.engines.conftest import settings_for
from tests.engines.examples import Examples, worker
from tests.stack.account import administrator, create_table
from tests.stack.gateway import gateway as start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engines.examples import Worker
    from tests.stack.account import Account
    from tests.stack.gateway import Gateway
    from tests.stack.oidc_provider import IdentityProvider

pytestmark = pytest.mark.needs("server", "engine", "node", "node_modules")
CONTROL = Examples("{settled: {key: 'pk (S)'}, flowing: {key: 'pk (S)'}, copied: {key: 'pk (S)'}, built: {key: 'pk (S)'}}")
READ_STREAM = "{actions: [DescribeStream, GetShardIterator, GetRecords], tables: [flowing]}"


@pytest.fixture(scope="module")
def replicas(
    account: Account, oidc_provider: IdentityProvider, logs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Gateway, Gateway]]:
    """Two gateways with one key file."""
    dynamodb = administrator(account.engine, "dynamodb")
    create_table(dynamodb, "settled", "pk:S")
    create_table(dynamodb, "flowing", "pk:S")
    dynamodb.update_table(
        TableName="flowing", StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    )
    for n in range(5):
        dynamodb.put_item(TableName="flowing", Item={"pk": {"S": str(n)}})
    keys = tmp_path_factory.mktemp("keys") / "streams"
    keys.write_text(base64.b64encode(secrets.token_bytes(32)).decode() + "\n")
    settings = settings_for(account, oidc_provider, account.engine.url, environment="", streams={"key_file": str(keys)})
    options: dict[str, Any] = {"policies": CONTROL.policies(), "env": account.gateway_environment()}
    with start(settings, logs / "control-1", **options) as first, start(settings, logs / "control-2", **options) as second:
        yield first, second


@CONTROL.needs(
    "{actions: [DescribeTable, DescribeTimeToLive, DescribeContinuousBackups], tables: [settled]}",
    "{actions: [ListTables, DescribeLimits, DescribeEndpoints], tables: [settled]}",
)
def describing(worker: Worker) -> None:
    """By name and by ARN."""
    client = worker.client()
    arn = client.describe_table(TableName="settled")["Table"]["TableArn"]
    assert client.describe_table(TableName=arn)["Table"]["TableName"] == "settled"
    client.describe_time_to_live(TableName="settled")
    client.describe_continuous_backups(TableName="settled")
    assert "settled" in client.list_tables(Limit=100)["TableNames"]
    client.describe_limits()
    client.describe_endpoints()


@CONTROL.needs("{actions: [UpdateTimeToLive], tables: [settled]}")
def setting_time_to_live(worker: Worker) -> None:
    """UpdateTimeToLive."""
    wanted = {"Enabled": True, "AttributeName": "expires_at"}
    done = worker.client().update_time_to_live(TableName="settled", TimeToLiveSpecification=wanted)
    assert done["TimeToLiveSpecification"] == wanted


@CONTROL.needs("{actions: [TagResource, ListTagsOfResource, UntagResource, DescribeTable], tables: [settled]}")
def tagging(worker: Worker) -> None:
    """Tags hang on ARNs."""
    client = worker.client()
    arn = client.describe_table(TableName="settled")["Table"]["TableArn"]
    client.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "shop"}])
    assert client.list_tags_of_resource(ResourceArn=arn)["Tags"] == [{"Key": "team", "Value": "shop"}]
    client.untag_resource(ResourceArn=arn, TagKeys=["team"])


@CONTROL.needs("{actions: [CreateTable, TagResource, UpdateTable, DescribeTable, DeleteTable], tables: [built]}")
def building_a_table(worker: Worker) -> None:
    """Create with tags, change, wait, drop."""
    client = worker.client()
    client.create_table(
        TableName="built",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
        Tags=[{"Key": "team", "Value": "shop"}],
    )
    client.get_waiter("table_exists").wait(TableName="built")
    client.update_table(TableName="built", BillingMode="PAY_PER_REQUEST")
    client.delete_table(TableName="built")
    client.get_waiter("table_not_exists").wait(TableName="built", WaiterConfig={"Delay": 1})


@CONTROL.needs(
    "{actions: [CreateBackup, DescribeBackup, DeleteBackup, ListBackups], tables: [settled]}",
    "{actions: [RestoreTableFromBackup, DeleteTable], tables: [settled, copied]}",
)
def backing_up(worker: Worker) -> None:
    """A backup, and a table made from it."""
    client = worker.client()
    arn = client.create_backup(TableName="settled", BackupName="nightly")["BackupDetails"]["BackupArn"]
    assert client.describe_backup(BackupArn=arn)["BackupDescription"]["SourceTableDetails"]["TableName"] == "settled"
    assert client.list_backups(TableName="settled")["BackupSummaries"]
    client.restore_table_from_backup(TargetTableName="copied", BackupArn=arn)
    client.delete_table(TableName="copied")
    client.delete_backup(BackupArn=arn)


@CONTROL.needs("{actions: [ListStreams], tables: [flowing]}", READ_STREAM)
def reading_a_stream(worker: Worker) -> None:
    """The loop of every consumer: list, describe, iterate, until the records are there."""
    client = worker.client("dynamodbstreams")
    (stream,) = client.list_streams(TableName="flowing")["Streams"]
    (shard,) = client.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]
    named = {"StreamArn": stream["StreamArn"], "ShardId": shard["ShardId"]}
    iterator = client.get_shard_iterator(**named, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    records = []
    while len(records) < 5:
        answer = client.get_records(ShardIterator=iterator, Limit=2)
        records += answer["Records"]
        iterator = answer["NextShardIterator"]
    assert [record["dynamodb"]["Keys"]["pk"]["S"] for record in records] == list("01234")
    number = records[2]["dynamodb"]["SequenceNumber"]
    later = client.get_shard_iterator(**named, ShardIteratorType="AFTER_SEQUENCE_NUMBER", SequenceNumber=number)
    assert len(client.get_records(ShardIterator=later["ShardIterator"])["Records"]) == 2


@CONTROL.needs(READ_STREAM)
def another_reader(_: Worker) -> None:
    """Has the same rights, and no iterator of the first one's."""


def iterator_of(client: Any) -> str:
    """An iterator at the beginning of the one stream."""
    arn = client.list_streams(TableName="flowing")["Streams"][0]["StreamArn"]
    (shard,) = client.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    answer = client.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    return str(answer["ShardIterator"])


@pytest.mark.parametrize("name", [name for name in CONTROL if name != "another_reader"])
def test_what_a_rule_names_is_served(name: str, replicas: tuple[Gateway, Gateway], oidc_provider: IdentityProvider) -> None:
    """None of the calls is refused, and none of the rules is superfluous."""
    CONTROL.pass_through(name, replicas[0], oidc_provider.token("worker-pool"))


def test_a_shard_iterator_goes_from_replica_to_replica(
    replicas: tuple[Gateway, Gateway], oidc_provider: IdentityProvider
) -> None:
    """What one replica sealed the other opens, page by page."""
    token = oidc_provider.token("worker-pool")
    clients = [worker(replica, token, "reading_a_stream").client("dynamodbstreams") for replica in replicas]
    iterator = iterator_of(clients[0])
    seen = []
    for turn in range(1, 6):
        answer = clients[turn % 2].get_records(ShardIterator=iterator, Limit=1)
        seen += [record["dynamodb"]["Keys"]["pk"]["S"] for record in answer["Records"]]
        iterator = answer["NextShardIterator"]
    assert seen == list("01234")


def test_a_shard_iterator_is_of_no_use_to_another_dag(replicas: tuple[Gateway, Gateway], oidc_provider: IdentityProvider) -> None:
    """Even where that DAG may read the same stream: an iterator belongs to the DAG that asked for it."""
    token = oidc_provider.token("worker-pool")
    iterator = iterator_of(worker(replicas[0], token, "reading_a_stream").client("dynamodbstreams"))
    with pytest.raises(ClientError) as failure:
        worker(replicas[1], token, "another_reader").client("dynamodbstreams").get_records(ShardIterator=iterator)
    assert failure.value.response["Error"]["Code"] == "AccessDeniedException"
    assert failure.value.response["ResponseMetadata"]["HTTPHeaders"]["x-ddb-proxy-reason"] == "foreign_iterator"
