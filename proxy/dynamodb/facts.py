"""What the request proves about one item-level touch, found out when a policy asks and not before.

Sound, never complete: a key is pinned by `Key`, by `Item`, or by an equality (or prefix) of the key condition, and by nothing
else; a filter pins nothing, for what it drops was read. Whatever could bring attributes back that are not named makes `whole`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from proxy.dynamodb.expression_tokens import ExpressionReader
from proxy.dynamodb.legacy import refuse
from proxy.dynamodb.mentions import as_written, read_mentions
from proxy.model import Pin
from proxy.refusal import Unreadable

if TYPE_CHECKING:
    from proxy.dynamodb.mentions import Mentions

# Of all different expressions of a batch or transaction together: four that are as long as can be, 4,096 characters of one token
# each. 100 members with as much would hold the loop for half a second, these for 25 ms.
MAX_TOKENS = 16_384
_CACHED_TEXT = 512
_CACHED_TEXTS = 1024
_READS = frozenset(("GetItem", "Query", "Scan"))
_BRINGING_BACK = frozenset(("ReturnValues", "ReturnValuesOnConditionCheckFailure", "Select"))


class Readings:
    """What the members of one batch or transaction say. What several of them say in the same words is worked out once."""

    __slots__ = ("_by_member", "_by_text", "_length", "_named")

    def __init__(self) -> None:
        self._by_member: dict[int, Mentions] = {}
        self._by_text: dict[Any, Mentions] = {}
        self._named: dict[Any, frozenset[str]] = {}
        self._length = 0

    def mentions(self, member: dict[str, Any]) -> Mentions:
        """What one member says, which lives as long as this. Raises Unreadable, also where all say too much together."""
        found = self._by_member.get(id(member))
        if found is None:
            found = self._by_member[id(member)] = self._of_text(member)
        return found

    def _of_text(self, member: dict[str, Any]) -> Mentions:
        text = as_written(member)
        found = self._by_text.get(text)
        if found is None:
            found = self._by_text[text] = read_mentions(member)
            self._length += found.length
        if self._length > MAX_TOKENS:
            refuse(
                f"the expressions of the request have more than {MAX_TOKENS} words and signs together; send fewer members at "
                "once, or write them alike: an expression that comes again does not count again"
            )
        return found

    def named(self, mentions: Mentions, given: dict[str, Any]) -> frozenset[str]:
        """The attributes that are mentioned and those of a key: one set for all keys of a table."""
        who = (id(mentions), frozenset(given))
        found = self._named.get(who)
        if found is None:
            found = self._named[who] = mentions.attributes | who[1]
        return found


class ItemFacts:
    """`model.Facts` of one member. `given` is its Key or Item, `member` what carries expressions, `request` the whole body.

    All three are judged, and are read in place: making one of these costs an object. Those of one batch share their `readings`.
    What cannot be read is not read again for the next rule that asks.
    """

    __slots__ = ("_action", "_given", "_member", "_mentions", "_named", "_pins", "_readings", "_request")

    def __init__(
        self,
        action: str,
        given: dict[str, Any] | None,
        member: dict[str, Any],
        request: dict[str, Any],
        readings: Readings | None = None,
    ) -> None:
        self._action = action
        self._given = given
        self._member = member
        self._request = request
        self._readings = readings
        self._mentions: Mentions | Unreadable | None = None
        self._pins: dict[str, Pin] | None = None
        self._named: frozenset[str] | None = None

    @property
    def mentions(self) -> Mentions:
        """What expressions and legacy parameters say. Raises Unreadable where they cannot be understood."""
        if self._mentions is None:
            try:
                self._mentions = self._readings.mentions(self._member) if self._readings else read_mentions(self._member)
            except Unreadable as refusal:
                self._mentions = refusal
        if isinstance(self._mentions, Unreadable):
            raise self._mentions
        return self._mentions

    def pin(self, name: str) -> Pin | None:
        """Of a Query what its key condition proves, of all others but Scan what Key or Item says."""
        given = self._given
        if given is None:
            return self._proven().get(name)
        return Pin((given[name],)) if name in given else None

    def _proven(self) -> dict[str, Pin]:
        if self._pins is None:
            self._pins = self._pins_of(self.mentions)
        return self._pins

    def _pins_of(self, mentions: Mentions) -> dict[str, Pin]:
        pins = {name: Pin((dict(value),)) for name, value in mentions.equalities.items()}
        if "IndexName" not in self._member:  # the table's own partition key is tested with `=`; anything else DynamoDB refuses
            return pins
        for name, (kind, values) in mentions.ranges.items():
            if kind == "begins_with" and not values[0].keys().isdisjoint(("S", "B")):
                pins[name] = Pin((dict(values[0]),), is_prefix=True)
        return pins

    @property
    def named(self) -> frozenset[str]:
        """Key, item, start key, and whatever is projected, tested, copied or changed."""
        if self._named is None:
            if self._readings and self._given is not None:
                self._named = self._readings.named(self.mentions, self._given)
            else:
                self._named = self.mentions.attributes.union(self._given or (), self._member.get("ExclusiveStartKey", ()))
        return self._named

    @property
    def whole(self) -> str:
        """Why attributes come back that are not named."""
        member = self._member
        if not _BRINGING_BACK.isdisjoint(member):
            if member.get("ReturnValues", "NONE") in ("ALL_OLD", "ALL_NEW"):
                return f"ReturnValues {member['ReturnValues']}"
            if member.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
                return "ReturnValuesOnConditionCheckFailure ALL_OLD"
            if member.get("Select") == "COUNT":
                return ""
            if self._action in _READS and member.get("Select", "").startswith("ALL_"):
                return f"Select {member['Select']}"
        return "no projection" if self._action in _READS and self.mentions.projected is None else ""

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

    named: frozenset[str] = frozenset()
    whole = "SearchVectors cannot be limited to attributes"
    replaces = False
    absent: frozenset[str] = frozenset()
    limit: int | None = None
    total_segments = 1
    has_condition = False
    has_client_token = False

    def pin(self, name: str) -> None:
        """Nothing."""
