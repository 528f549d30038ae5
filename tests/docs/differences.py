"""Where a decision here differs from IAM's for the same words, and why. The README's table is made from it.

All but one are stricter; and what IAM denies, AWS denies still, for every request is signed with the DAG's own role.
"""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """One row."""

    topic: str
    iam: str
    here: str
    why: str


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "`keys` and a request without a key",
        "`ForAllValues` on `dynamodb:LeadingKeys` is true where the key is absent, so a Scan passes",
        "an allow rule with `keys` covers only what proves its partition key; a Scan never does",
        "a limit that the widest request escapes is none",
    ),
    Difference(
        "`keys` on a deny rule",
        "a condition that finds no key does not match, so the deny is passed by",
        "covers every request that does not prove that it stays outside; of an index, by the table's key as well",
        "what cannot be proven is not let past a deny",
    ),
    Difference(
        "`keys` on an index",
        "compares the partition key of the index",
        "compares that, or the table's partition key where the request says it too; of several attributes the first",
        "either keeps what comes back within the keys",
    ),
    Difference(
        "number keys",
        "compared as text: `1`, `1.0` and `1e0` are three",
        "compared as decimals, and by `exact` only",
        "DynamoDB holds them to be one key",
    ),
    Difference(
        "prefixes",
        "`StringLike` with `*`",
        "`prefix`, and a placeholder must be ended by a sign that its value does not hold",
        "`orders*` covers `orders_v2#1` too",
    ),
    Difference(
        "a batch",
        "BatchGetItem and BatchWriteItem are actions of their own; who is denied PutItem may still put in a batch",
        "each member needs its own item action, key by key",
        "one rule for one thing, however it is sent",
    ),
    Difference(
        "`attributes` and whole items",
        "`dynamodb:Attributes` sees the names in the request; whole items are held back only where `dynamodb:Select` and "
        "`dynamodb:ReturnValues` are limited besides",
        "a rule with `attributes` covers nothing that brings a whole item back: no projection, `Select`, `ReturnValues`",
        "a list of attributes that a request without one escapes is none",
    ),
    Difference(
        "`attributes` and `LastEvaluatedKey`",
        "comes back whole",
        "goes out sealed where the rules do not show all of it",
        "one item at a time it would tell the keys of all",
    ),
    Difference(
        "old items in errors",
        "no condition key knows `ReturnValuesOnConditionCheckFailure`",
        "counts as bringing the whole item back",
        "the item comes in the error",
    ),
    Difference(
        "`attributes` and puts",
        "PutItem and DeleteItem pass if they name allowed attributes only, and take all others away",
        "an allow rule with `attributes` covers a put only with a condition that no item is there, and a delete never",
        "to erase an attribute is to change it",
    ),
    Difference(
        "`attributes` on a deny rule, and a put or delete that names none of them",
        "passes, though they are erased",
        "passes too: such a rule guards what is read and set, not what is erased",
        "equal to IAM, told here because it is easily overlooked; deny the action itself to guard against it",
    ),
    Difference(
        "`read` and `write` in deny and require",
        "PartiQL has actions of its own; a deny of PutItem leaves PartiQLInsert open",
        "the groups hold PartiQL's reads or writes too; an action by its exact name is that action alone",
        "nobody means to stop one spelling of a request",
    ),
    Difference(
        "`*` in an allow rule",
        "`dynamodb:*` holds every action, resource policies and exports among them",
        "the seven actions on items; PartiQL, descriptions, streams and all that manages or moves tables by exact name only",
        "a wildcard must not reach what gives power away, or what AWS adds next year",
    ),
    Difference(
        "indexes",
        "`table/orders*` covers `table/orders/index/...` too",
        "an allow rule on a table covers none of its indexes; a deny rule covers all",
        "an index has other keys and other readers",
    ),
    Difference(
        "other accounts and Regions",
        "a resource policy of the other account can allow it",
        "refused: own tables are those of the account of the DAG's role in the environment's Region",
        "no key of ours opens what another account shares by mistake",
    ),
    Difference(
        "what nobody knows",
        "a new operation is allowed where a wildcard covers it",
        "an operation, member or expression that the gateway cannot read is refused",
        "what cannot be named cannot be judged",
    ),
)
