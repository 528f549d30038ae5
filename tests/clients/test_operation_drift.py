"""The product's tables against the newest botocore: what AWS added must be known before a client sends it.

Runs in the clients environment, where botocore is the newest; needs nothing of the gateway's own dependencies.
"""

from __future__ import annotations

import json
from sys import maxsize
from typing import TYPE_CHECKING, Any

import botocore
import pytest
from botocore.loaders import Loader

from proxy.dynamodb import names
from proxy.dynamodb.catalogue import OPERATIONS
from proxy.dynamodb.members import INPUTS
from proxy.dynamodb.shapes import (
    Attributes,
    ByTable,
    Choice,
    Flag,
    ListOf,
    MapOf,
    Matching,
    Number,
    Shape,
    Structure,
    Text,
    Value,
    Whole,
)
from proxy.dynamodb.values import KINDS

if TYPE_CHECKING:
    from proxy.dynamodb.catalogue import KnownOperation


def model_of(service: str) -> dict[str, Any]:
    """The newest service model that botocore carries, as plain JSON."""
    model: dict[str, Any] = json.loads(json.dumps(Loader().load_service_model(service, "service-2")))
    return model


DYNAMODB = model_of("dynamodb")
STREAMS = model_of("dynamodbstreams")
WHAT_TO_DO = f"in botocore {botocore.__version__}: review it, then add it to proxy/dynamodb"


@pytest.mark.parametrize("model", [DYNAMODB, STREAMS], ids=["dynamodb", "dynamodbstreams"])
def test_every_operation_of_the_service_model_is_in_the_table(model: dict[str, Any]) -> None:
    """New or vanished operations are named; so is a new target prefix."""
    prefix = model["metadata"]["targetPrefix"] + "."
    modelled = {prefix + name for name in model["operations"]}
    ours = {row.target for row in OPERATIONS if row.target.startswith(prefix)}
    assert modelled - ours == set(), f"new {WHAT_TO_DO}"
    assert ours - modelled == set(), "no longer in the model"


def test_the_service_still_speaks_json_1_0() -> None:
    """Another protocol would need another reader."""
    for model in (DYNAMODB, STREAMS):
        assert model["metadata"]["protocols"] == ["json"]
        assert model["metadata"]["jsonVersion"] == "1.0"


def test_attribute_values_have_the_known_types() -> None:
    """A new type of AttributeValue would be refused everywhere."""
    assert set(DYNAMODB["shapes"]["AttributeValue"]["members"]) == set(KINDS), WHAT_TO_DO


def test_every_operation_has_its_members() -> None:
    """Nothing is in one table only."""
    assert {row.name for row in OPERATIONS} == set(INPUTS)


@pytest.mark.parametrize("row", OPERATIONS, ids=[row.name for row in OPERATIONS])
def test_every_member_of_every_operation_is_known(row: KnownOperation) -> None:
    """Members, types, enumerations, ranges and required flags, at every level."""
    model = STREAMS if row.service == "dynamodbstreams" else DYNAMODB
    shape = model["operations"][row.name]["input"]["shape"]
    assert list(differences(model["shapes"], INPUTS[row.name], shape, row.name)) == [], WHAT_TO_DO


def test_a_difference_is_found() -> None:
    """The comparison itself sees a missing member, a missing word and a wrong flag."""
    crooked = Structure({"TableName": names.INDEX, "Select": Choice(("COUNT",)), "Limit": Flag()}, ("Select",))
    found = list(differences(DYNAMODB["shapes"], crooked, "QueryInput", "Query"))
    assert "Query: the model also has IndexName" in found
    assert "Query: required are TableName" in found
    assert "Query.Select: words ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES, COUNT, SPECIFIC_ATTRIBUTES" in found
    assert "Query.Limit: the model has integer PositiveIntegerObject" in found
    assert "Query.TableName: the model has string TableArn" in found


BITS = {"integer": 31, "long": 63}
NAMED = {  # what we hold to a pattern, and the shapes of the model that it stands for
    names.TABLE: {"TableArn"},
    names.OWN_TABLE: {"TableName"},
    names.INDEX: {"IndexName"},
    names.BACKUP: {"BackupName"},
    names.BACKUP_ARN: {"BackupArn"},
    names.EXPORT_ARN: {"ExportArn"},
    names.IMPORT_ARN: {"ImportArn"},
    names.BULK_OPERATION_ARN: {"BulkOperationArn"},
    names.STREAM_ARN: {"StreamArn"},
    names.KINESIS_ARN: {"StreamArn"},
    names.RESOURCE_ARN: {"ResourceArnString"},
    names.REGION: {"RegionName"},
    names.BUCKET: {"S3Bucket"},
    names.ACCOUNT: {"S3BucketOwner"},
    names.KMS_KEY: {"KMSMasterKeyId", "S3SseKmsKeyId"},
    names.ROLE_ARN: {"AutoScalingRoleArn"},
}


def differences(shapes: Any, ours: Shape, name: str, path: str) -> Any:
    """Every difference between our shape and the model's shape `name`, as a sentence."""
    modelled = shapes[name]
    kind = modelled["type"]
    match ours:
        case Structure() if kind == "structure":
            yield from structure_differences(shapes, ours, modelled, path)
        case ListOf() if kind == "list":
            if ours.fewest != modelled.get("min", 0) or ours.most != modelled.get("max", maxsize):
                yield f"{path}: counts {modelled.get('min')} to {modelled.get('max')}"
            yield from differences(shapes, ours.member, modelled["member"]["shape"], f"{path}[]")
        case ByTable() if kind == "map":
            if ours.most != modelled.get("max") or modelled.get("min") != 1:
                yield f"{path}: counts {modelled.get('min')} to {modelled.get('max')}"
            yield from differences(shapes, ours.table, modelled["key"]["shape"], f"{path}.key")
            yield from differences(shapes, ours.member, modelled["value"]["shape"], f"{path}.*")
        case MapOf() if kind == "map":
            yield from differences(shapes, ours.member, modelled["value"]["shape"], f"{path}.*")
        case Attributes() if kind == "map" and modelled["value"]["shape"] == "AttributeValue":
            return
        case Value() if name == "AttributeValue":
            return
        case Matching() if name in NAMED[ours]:
            return
        case Number() if kind in ("timestamp", "double"):
            return
        case Flag() if kind == "boolean":
            return
        case Choice() if "enum" in modelled:
            if set(ours.words) != set(modelled["enum"]):
                yield f"{path}: words {', '.join(sorted(modelled['enum']))}"
        case Whole() if kind in BITS:
            bound = 2 ** BITS[kind]
            if ours.least != modelled.get("min", -bound) or ours.most != modelled.get("max", bound - 1):
                yield f"{path}: range {modelled.get('min')} to {modelled.get('max')}"
        case Text() if kind == "string" and "enum" not in modelled:
            # names of attributes have a length too, which DynamoDB checks itself
            longest = maxsize if name == "AttributeName" else modelled.get("max", maxsize)
            if ours.shortest != modelled.get("min", 0) or ours.longest != longest:
                yield f"{path}: length {modelled.get('min')} to {modelled.get('max')}"
        case _:
            yield f"{path}: the model has {kind} {name}"


def structure_differences(shapes: Any, ours: Structure, modelled: dict[str, Any], path: str) -> Any:
    """Differences of members and required flags."""
    members = modelled["members"]
    for extra in sorted(members.keys() - ours.members.keys()):
        yield f"{path}: the model also has {extra}"
    for gone in sorted(ours.members.keys() - members.keys()):
        yield f"{path}: the model has no {gone}"
    if set(ours.required) != set(modelled.get("required", ())):
        yield f"{path}: required are {', '.join(sorted(modelled.get('required', ())))}"
    for member in sorted(ours.members.keys() & members.keys()):
        yield from differences(shapes, ours.members[member], members[member]["shape"], f"{path}.{member}")
