"""Every method of the provider's hook, its sensor and its transfers from and to S3. Nothing here knows of a gateway."""

from __future__ import annotations

from airflow.providers.amazon.aws.hooks.dynamodb import DynamoDBHook
from airflow.providers.amazon.aws.sensors.dynamodb import DynamoDBValueSensor
from airflow.providers.amazon.aws.transfers.dynamodb_to_s3 import DynamoDBToS3Operator
from airflow.providers.amazon.aws.transfers.s3_to_dynamodb import S3ToDynamoDBOperator
from airflow.sdk import dag, task
from boto3.dynamodb.conditions import Attr, Key

HERE = {"pk": "hook", "sk": "1"}
KEYS = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
TYPES = [{"AttributeName": "pk", "AttributeType": "S"}, {"AttributeName": "sk", "AttributeType": "S"}]


@dag(schedule=None)
def transfer() -> None:
    """The connection `aws_default` for DynamoDB, `aws_s3` for S3."""

    @task
    def by_hook() -> None:
        hook = DynamoDBHook()
        hook.put_item("stock", {**HERE, "kind": "a", "n": 1}, condition_expression="attribute_not_exists(pk)")
        hook.update_item("stock", HERE, "SET #n = :n", {":n": 2}, {"#n": "n"}, "attribute_exists(pk)")
        item = hook.get_item("stock", HERE)
        assert item is not None
        assert item["n"] == 2
        assert hook.query("stock", Key("pk").eq("hook"), filter_expression=Attr("n").gt(1), limit=5)
        assert hook.query("stock", "#k = :k", {":k": "a"}, {"#k": "kind"}, index_name="by_kind")
        hook.delete_item("stock", HERE, "attribute_exists(pk)")
        DynamoDBHook(table_name="stock", table_keys=["pk", "sk"]).write_batch_data([HERE, HERE, {**HERE, "state": "done"}])

    see = DynamoDBValueSensor(
        task_id="see",
        table_name="stock",
        partition_key_name="pk",
        partition_key_value="hook",
        sort_key_name="sk",
        sort_key_value="1",
        attribute_name="state",
        attribute_value=["done", "failed"],
        poke_interval=1,
        timeout=30,
    )
    to_s3 = {"dynamodb_table_name": "stock", "s3_bucket_name": "exports", "dest_aws_conn_id": "aws_s3"}
    scanned = DynamoDBToS3Operator(
        task_id="scanned", s3_key_prefix="scanned/", dynamodb_scan_kwargs={"Limit": 1}, file_size=1, **to_s3
    )
    exported = DynamoDBToS3Operator(
        task_id="exported", s3_key_prefix="exported/", point_in_time_export=True, check_interval=1, **to_s3
    )
    source = {"s3_bucket": "imports", "s3_key": "stock/", "dynamodb_key_schema": KEYS, "dynamodb_attributes": TYPES}
    created = S3ToDynamoDBOperator(task_id="created", dynamodb_table_name="imported", check_interval=1, **source)
    loaded = S3ToDynamoDBOperator(
        task_id="loaded", dynamodb_table_name="stock", use_existing_table=True, check_interval=1, **source
    )
    by_hook() >> see >> scanned >> exported >> created >> loaded


transfer()
