"""How tables and what belongs to them are named, each form exact to its last character, and what an ARN says of them.

An ARN is never cut at its last component: account and Region are part of what is named. What has another form (a wildcard, an
index in a table's place, an ARN of another service) is refused where it stands.
"""

from __future__ import annotations

from functools import lru_cache

from proxy.dynamodb.shapes import Matching
from proxy.model import TableReference

_NAME = r"[A-Za-z0-9_.\-]{3,255}"
_LABEL = r"[A-Za-z0-9_.:\-]{1,128}"
_PARTITION = r"arn:[a-z][a-z0-9\-]{1,31}"
_HOME = r"[a-z0-9\-]{2,32}:[0-9]{12}"  # Region and account
_TABLE_ARN = rf"{_PARTITION}:dynamodb:{_HOME}:table/{_NAME}"
_CHARACTERS = "3 to 255 of the characters A-Z a-z 0-9 _ . -"
_ARN_OF_TABLE = "arn:<partition>:dynamodb:<region>:<account>:table/<name>"


def _belonging(kind: str) -> Matching:
    return Matching(rf"{_TABLE_ARN}/{kind}/{_LABEL}", f"must be exactly {_ARN_OF_TABLE}/{kind}/<label>")


TABLE = Matching(rf"{_NAME}|{_TABLE_ARN}", f"must name a table: {_CHARACTERS} or exactly {_ARN_OF_TABLE}", takes_names=True)
OWN_TABLE = Matching(_NAME, f"must name a table: {_CHARACTERS}; an ARN is not taken here")
INDEX = Matching(_NAME, f"must name an index: {_CHARACTERS}", takes_names=True)
BACKUP = Matching(_NAME, f"must name a backup: {_CHARACTERS}")
BACKUP_ARN = _belonging("backup")
EXPORT_ARN = _belonging("export")
IMPORT_ARN = _belonging("import")
STREAM_ARN = _belonging("stream")
# The newest operations: what their ARN calls itself is not documented yet, that it belongs to a table is.
BULK_OPERATION_ARN = Matching(rf"{_TABLE_ARN}/[A-Za-z\-]{{1,32}}/{_LABEL}", f"must be exactly {_ARN_OF_TABLE}/<kind>/<label>")
RESOURCE_ARN = Matching(rf"{_TABLE_ARN}(?:/stream/{_LABEL})?", f"must be exactly {_ARN_OF_TABLE}, or that of a stream below it")
REGION = Matching(r"[a-z0-9\-]{2,32}", "must name a Region, for example eu-west-1")
# Without an owner beside it a bucket is the caller's own, or DynamoDB refuses; an access point's ARN is no bucket.
BUCKET = Matching(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,253}[A-Za-z0-9]", "must name a bucket")
ACCOUNT = Matching(r"[0-9]{12}", "must be an account: 12 digits")
KMS_KEY = Matching(
    rf"(?!arn:)[\x20-\x7e]{{1,2048}}|{_PARTITION}:kms:{_HOME}:[\x21-\x7e]{{1,1600}}",
    "must be a key's id, its alias, or exactly arn:<partition>:kms:<region>:<account>:<resource>",
)
KINESIS_ARN = Matching(
    rf"{_PARTITION}:kinesis:{_HOME}:stream/[A-Za-z0-9_.\-]{{1,128}}",
    "must be exactly arn:<partition>:kinesis:<region>:<account>:stream/<name>",
)
ROLE_ARN = Matching(
    rf"{_PARTITION}:iam::[0-9]{{12}}:role/[\x21-\x7e]{{1,1024}}", "must be exactly arn:<partition>:iam::<account>:role/<name>"
)


@lru_cache(maxsize=1024)
def table_in(text: str) -> TableReference:
    """The table that a judged name or ARN speaks of; a stream, backup or export speaks of its table."""
    if not text.startswith("arn:"):
        return TableReference(text)
    _, partition, _, region, account, resource = text.split(":", 5)
    return TableReference(resource.split("/")[1], partition, region, account)
