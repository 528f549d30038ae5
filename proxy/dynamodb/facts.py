"""What the request proves about one item-level touch, found out when a policy asks and not before.

Sound, never complete: a key is pinned by `Key`, by `Item`, or by an equality (or prefix) of the key condition, and by nothing
else; a filter pins nothing, for what it drops was read. Whatever could bring attributes back that are not named makes `whole`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from proxy.dynamodb.expression_tokens import ExpressionReader
from proxy.dynamodb.mentions import read_mentions
from proxy.model import Pin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.dynamodb.mentions import Mentions

_CACHED_TEXT = 512
_CACHED_TEXTS = 1024
_READS = frozenset(("GetItem", "Query", "Scan"))


class _Given(Mapping[str, Pin]):
    """What a Key or Item pins: each of its attributes. Policies ask for one or two, so a Pin is made when it is asked for."""

    __slots__ = ("_given",)

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given

    def __getitem__(self, name: str) -> Pin:
        return Pin((self._given[name],))

    def get(self, name: str, default: Any = None) -> Any:
        """The pin, or `default`."""
        return Pin((self._given[name],)) if name in self._given else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


class ItemFacts:
    """`model.Facts` of one member. `given` is its Key or Item, `member` what carries expressions, `request` the whole body.

    All three are judged, and are read in place: making one of these costs an object. Facts of the keys of one table in a batch
    read its expressions once (`beside`).
    """

    __slots__ = ("_action", "_beside", "_given", "_member", "_mentions", "_named", "_pins", "_request")

    def __init__(
        self,
        action: str,
        given: dict[str, Any] | None,
        member: dict[str, Any],
        request: dict[str, Any],
        beside: ItemFacts | None = None,
    ) -> None:
        self._action = action
        self._given = given
        self._member = member
        self._request = request
        self._beside = beside
        self._mentions: Mentions | None = None
        self._pins: Mapping[str, Pin] | None = None
        self._named: frozenset[str] | None = None

    @property
    def mentions(self) -> Mentions:
        """What expressions and legacy parameters say. Raises Unreadable where they cannot be understood."""
        if self._mentions is None:
            self._mentions = self._beside.mentions if self._beside else read_mentions(self._member)
        return self._mentions

    @property
    def pins(self) -> Mapping[str, Pin]:
        """Of a Query what its key condition proves, of all others but Scan what Key or Item says."""
        if self._pins is None:
            given = self._given
            self._pins = self._proven() if given is None else _Given(given)
        return self._pins

    def _proven(self) -> dict[str, Pin]:
        mentions = self.mentions
        pins = {name: Pin((dict(value),)) for name, value in mentions.equalities.items()}
        if "IndexName" not in self._member:  # the table's own partition key is tested with `=`; anything else DynamoDB refuses
            return pins
        for name, (kind, values) in mentions.ranges.items():
            if kind == "begins_with" and not values[0].keys().isdisjoint(("S", "B")):
                pins[name] = Pin((dict(values[0]),), is_prefix=True)
        return pins

    @property
    def named(self) -> frozenset[str]:
        """Key, item, start key, and whatever is projected, tested, copied or changed.

        The keys of one table in a batch speak of the same attributes: a set for each of them would cost a long projection
        a hundred times.
        """
        if self._named is None:
            beside = self._beside.named if self._beside else frozenset[str]()
            if self._given is not None and beside and self._given.keys() <= beside:
                self._named = beside
            else:
                self._named = self.mentions.attributes.union(self._given or (), self._member.get("ExclusiveStartKey", ()))
        return self._named

    @property
    def whole(self) -> str:
        """Why attributes come back that are not named."""
        member = self._member
        if member.get("ReturnValues", "NONE") in ("ALL_OLD", "ALL_NEW"):
            return f"ReturnValues {member['ReturnValues']}"
        if member.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
            return "ReturnValuesOnConditionCheckFailure ALL_OLD"
        if self._action not in _READS or member.get("Select") == "COUNT":
            return ""
        if member.get("Select", "").startswith("ALL_"):
            return f"Select {member['Select']}"
        return "no projection" if self.mentions.projected is None else ""

    @property
    def replaces(self) -> bool:
        """A put or a delete."""
        return self._action in ("PutItem", "DeleteItem")

    @property
    def absent(self) -> frozenset[str]:
        """Attributes that must be missing for the condition to hold."""
        # a delete on such a condition does nothing, which is not worth a case of its own
        if self._action != "PutItem" or not self.mentions.has_condition:
            return frozenset()
        member = self._member
        if "ConditionExpression" in member:
            names = member.get("ExpressionAttributeNames", {})
            return frozenset(names.get(name, name) for name in _absent_in(member["ConditionExpression"]))
        if member.get("ConditionalOperator") == "OR":
            return frozenset()
        return frozenset(
            name
            for name, expected in member["Expected"].items()
            if expected.get("Exists") is False or expected.get("ComparisonOperator") == "NULL"
        )

    @property
    def limit(self) -> int | None:
        """`Limit`."""
        limit: int | None = self._member.get("Limit")
        return limit

    @property
    def total_segments(self) -> int:
        """`TotalSegments`."""
        segments: int = self._member.get("TotalSegments", 1)
        return segments

    @property
    def has_condition(self) -> bool:
        """`ConditionExpression`, or `Expected` that expects something."""
        return bool(self._member.get("ConditionExpression") or self._member.get("Expected"))

    @property
    def has_client_token(self) -> bool:
        """`ClientRequestToken`."""
        return "ClientRequestToken" in self._request


@lru_cache(_CACHED_TEXTS)
def _absent_in_short(text: str) -> frozenset[str]:
    reader = ExpressionReader("ConditionExpression", text)
    tokens = reader.tokens
    if not {"OR", "NOT"}.isdisjoint(reader.words):
        return frozenset()  # without these two, in whatever parentheses, every test must hold
    return frozenset(
        tokens[place + 2]
        for place, word in enumerate(tokens)
        if word == "attribute_not_exists" and tokens[place + 1] == "(" and tokens[place + 3] == ")"
    )


def _absent_in(text: str) -> frozenset[str]:
    """Names and aliases of whole attributes that `text`, which is a condition of DynamoDB's grammar, proves missing."""
    return _absent_in_short(text) if len(text) <= _CACHED_TEXT else frozenset()


class SearchFacts:
    """`model.Facts` of SearchVectors: nothing is proven. IAM's key and attribute conditions have no effect there either."""

    __slots__ = ()

    pins: Mapping[str, Pin] = {}
    named: frozenset[str] = frozenset()
    whole = "SearchVectors cannot be limited to attributes"
    replaces = False
    absent: frozenset[str] = frozenset()
    limit: int | None = None
    total_segments = 1
    has_condition = False
    has_client_token = False
