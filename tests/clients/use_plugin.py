"""Call by every kind of boto3 client as a task would, with the worker's plugin on or off. Prints what each of them is and got.

PLUGIN says how: `switch` turns it on as the Airflow plugin does, `factory` extends the sessions, else the environment does.
"""

from __future__ import annotations

import json
import os

import boto3
import botocore
from botocore.config import Config
from botocore.exceptions import ClientError

from proxy.worker.session_factory import extend
from proxy.worker.switch import turn_on
from proxy.worker.usage import USAGE

session = boto3.Session()
if os.environ.get("PLUGIN") == "switch":
    turn_on()
elif os.environ.get("PLUGIN") == "factory":
    extend(session)

KEY = {"pk": {"S": "a"}}
plain = session.client("dynamodb")
plain.get_item(TableName="open", Key=KEY)
unsigned = session.resource("dynamodb", config=Config(signature_version="unsigned", region_name="us-west-2"))
unsigned.Table("open").put_item(Item={"pk": "a"}, ReturnConsumedCapacity="TOTAL")
streams = session.client("dynamodbstreams", aws_access_key_id="AKIAEXAMPLE", aws_secret_access_key="secret")
streams.list_streams()
at_aws = session.client("dynamodb", endpoint_url="https://dynamodb.eu-west-1.amazonaws.com")
at_aws.get_item(TableName="open", Key=KEY)
plain.put_item(TableName="slow", Item=KEY)
try:
    plain.get_item(TableName="shut", Key=KEY)
    denied = ""
except ClientError as error:
    denied = error.response["Error"]["Code"]
elsewhere = session.client("dynamodb", endpoint_url="http://127.0.0.1:1", config=Config(retries={"max_attempts": 0}))
others = {name: session.client(name) for name in ("s3", "sts", "logs", "secretsmanager")}
print(
    json.dumps(
        {
            "version": f"botocore {botocore.__version__}",
            "others": {name: client.meta.endpoint_url for name, client in others.items()},
            "elsewhere": elsewhere.meta.endpoint_url,
            "denied": denied,
            "line": USAGE.line(),
            "summary": USAGE.summary(),
        }
    )
)
