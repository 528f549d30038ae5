"""Requests for every operation, grown from the shapes of its members; their expressions and statements speak of few names.

Words of one kind are in no other: whoever finds `att_a` anywhere knows that an attribute is meant. A `chance` makes every
choice, so that hypothesis can take the place of a seeded one and make a failure small.
"""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

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
    Structure,
    Text,
    Value,
    Whole,
)

if TYPE_CHECKING:
    from random import Random

HOME = "us-east-1:000000000000"
TABLES = ("tab_one", "tab_two")
INDEX = "idx_g"
ATTRIBUTES = ("pk", "sk", "gk", "att_a", "att_b", "att_n", "att_l")
PLAIN = ATTRIBUTES[3:]
KEYS = ("d#1", "d#2", "d#1", "e#1", "d")
_WORDS = ("AND", "AND", "OR")
_LEGACY = ("AttributesToGet", "AttributeUpdates", "Expected", "ConditionalOperator", "QueryFilter", "ScanFilter")
_PLACES = {
    r"[a-z0-9\-]{2,32}": ("us-east-1", "us-east-1", "eu-west-1"),
    r"[0-9]{12}": ("000000000000", "000000000000", "111111111111"),
}


class RequestMaker:
    """Makes the bodies. `wild` lets names be ARNs, members be rare ones, and parts not fit each other."""

    def __init__(self, chance: Random, *, tables: tuple[str, ...] = TABLES, wild: bool = True) -> None:
        self.chance = chance
        self.tables = tables
        self.wild = wild

    def body(self, operation: str) -> dict[str, Any]:
        """One body that its judge may well take."""
        made = self._of(INPUTS[operation], operation)
        assert type(made) is dict
        return made

    # ------------------------------------------------------------------------------------------- by shape

    def _of(self, shape: Any, name: str) -> Any:
        by_name = getattr(self, f"_{name}", None)
        if by_name is not None and not (name == "Key" and isinstance(shape, Text)):  # that of a tag
            return by_name()
        match shape:
            case Structure():
                return self._structure(shape)
            case ListOf():
                most = min(shape.most, shape.fewest + 2 if shape.fewest else 1)
                return [self._of(shape.member, f"{name}[]") for _ in range(self.chance.randint(shape.fewest, most))]
            case ByTable():
                keys = [self._TableName() for _ in range(self.chance.randint(1, 2))]
                return {key: self._of(shape.member, "") for key in keys}
            case MapOf():
                return {self.chance.choice(ATTRIBUTES): self._of(shape.member, "")}
            case Attributes():
                return self.item()
            case Value():
                return self.value()
            case Choice():
                return self.chance.choice(shape.words)
            case Flag():
                return self.chance.random() < 0.5
            case Whole():
                return max(shape.least, 1)
            case Number():
                return max(shape.least, 1)
            case Matching():
                return self._matching(shape.pattern)
            case Text():
                return "t" * max(shape.shortest, 1)
        raise AssertionError(name)

    def _structure(self, shape: Structure) -> dict[str, Any]:
        if shape.one_only:
            name = self.chance.choice(sorted(shape.members))
            return {name: self._of(shape.members[name], name)}
        made = {}
        for name, member in shape.members.items():
            likely = 0.35 if name.endswith(("Expression", "Name")) else 0.12 if self.wild else 0.06
            if name in shape.required or self.chance.random() < likely:
                made[name] = self._of(member, name)
        if "KeyConditionExpression" in shape.members and "FilterExpression" in shape.members:
            self._give_key_condition(made)
        if "UpdateExpression" in shape.members and "AttributeUpdates" not in made:
            made.setdefault("UpdateExpression", self._UpdateExpression())
        return self._fitted(made, shape)

    def _give_key_condition(self, made: dict[str, Any]) -> None:
        if made.get("KeyConditions") is None or not self.wild:
            made.pop("KeyConditions", None)
            made["KeyConditionExpression"] = self._KeyConditionExpression(made.get("IndexName"))

    def _fitted(self, made: dict[str, Any], shape: Structure) -> dict[str, Any]:
        """Placeholders that are used and no others; expressions or legacy parameters."""
        texts = " ".join(made[name] for name in made if name.endswith("Expression"))
        if not texts:
            for name in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
                made.pop(name, None)
        elif not self.wild or self.chance.random() < 0.97:
            for name in (*_LEGACY, "KeyConditions"):
                made.pop(name, None)
            for name, given in (
                ("ExpressionAttributeNames", {used: self._aliased(used) for used in re.findall(r"#\w+", texts)}),
                ("ExpressionAttributeValues", {used: self._held(used) for used in re.findall(r":\w+", texts)}),
            ):
                made.pop(name, None)
                if given and name in shape.members:
                    made[name] = given
        if "Statement" in made:
            made.pop("Parameters", None)
            if used := made["Statement"].count("?"):
                made["Parameters"] = [{"S": self.chance.choice(KEYS)} for _ in range(used)]
        if not self.wild and made.get("Select", "").startswith("ALL_"):
            made.pop("ProjectionExpression", None)
            return self._fitted({**made, "Select": "COUNT"}, shape)
        return made

    def _aliased(self, alias: str) -> str:
        return {"#k": "pk", "#g": "gk", "#a": "att_a", "#b": "att_b"}[alias]

    def _held(self, placeholder: str) -> dict[str, Any]:
        if placeholder in (":k", ":j"):
            return self.key_value()
        return {":n": {"N": "1"}, ":l": {"L": [{"S": "x"}]}}.get(placeholder) or {"S": "v"}

    # --------------------------------------------------------------------------------------------- values

    def key_value(self) -> dict[str, Any]:
        """The value of a partition key; at times one of another type."""
        if self.wild and self.chance.random() < 0.04:
            return {"B": "ZCMx"}
        return {"S": self.chance.choice(KEYS)}

    def value(self) -> dict[str, Any]:
        """The value of any other attribute."""
        return self.chance.choice(({"S": "v"}, {"N": "7"}, {"M": {"inner": {"S": "v"}}}, {"NULL": True}, {"SS": ["v"]}))

    def key(self) -> dict[str, Any]:
        """A whole key of a table."""
        return {"pk": self.key_value(), "sk": {"S": self.chance.choice("abn")}}

    def item(self) -> dict[str, Any]:
        """A key, some attributes, and at times that of the index."""
        made = self.key() | {name: self.value() for name in PLAIN if self.chance.random() < 0.3}
        if self.chance.random() < 0.3:
            made["gk"] = self.key_value()
        return made

    # --------------------------------------------------------------------------------------------- by name

    def _TableName(self) -> str:  # noqa: N802 - the member's name
        name = self.chance.choice(self.tables)
        if not self.wild or self.chance.random() < 0.75:
            return name
        home = HOME if self.chance.random() < 0.7 else self.chance.choice(("eu-west-1:000000000000", "us-east-1:111111111111"))
        return f"arn:aws:dynamodb:{home}:table/{name}"

    _GlobalTableName = _TargetTableName = _SourceTableName = lambda self: self.chance.choice(self.tables)

    def _IndexName(self) -> str:  # noqa: N802 - the member's name
        return INDEX if not self.wild or self.chance.random() < 0.8 else "idx_other"

    def _Key(self) -> dict[str, Any]:  # noqa: N802 - the member's name
        return self.key()

    def _Keys(self) -> list[dict[str, Any]]:  # noqa: N802 - the member's name
        keys = [self.key() for _ in range(self.chance.randint(1, 2))]
        return keys if keys[0] != keys[-1] or len(keys) == 1 else keys[:1]

    def _ExclusiveStartKey(self) -> dict[str, Any]:  # noqa: N802 - the member's name
        return self.key()

    def _AttributesToGet(self) -> list[str]:  # noqa: N802 - the member's name
        return [self.chance.choice(ATTRIBUTES)]

    def _KeyConditions(self) -> dict[str, Any]:  # noqa: N802 - the member's name
        operator = self.chance.choice(("EQ", "EQ", "EQ", "BEGINS_WITH", "GT"))
        tested = self.chance.choice(("pk", "pk", "gk", "sk"))
        return {tested: {"ComparisonOperator": operator, "AttributeValueList": [self.key_value()]}}

    def _Expected(self) -> dict[str, Any]:  # noqa: N802 - the member's name
        return {self.chance.choice(ATTRIBUTES): self.chance.choice(({"Exists": False}, {"Value": {"S": "v"}}))}

    def _ExpressionAttributeNames(self) -> dict[str, Any]:  # noqa: N802 - the member's name
        return {"#k": "pk"}

    def _matching(self, pattern: str) -> str:
        """A text of one of the closed forms of names and ARNs."""
        for place, words in _PLACES.items():
            if pattern == place:
                return self.chance.choice(words)
        home = HOME if self.chance.random() < 0.8 else self.chance.choice(("eu-west-1:000000000000", "us-east-1:111111111111"))
        account = home.partition(":")[2]
        table = f"arn:aws:dynamodb:{home}:table/{self.chance.choice(self.tables)}"
        forms = [self.chance.choice(self.tables), table] if ":table/" in pattern else ["bucket", "alias/key"]
        forms += [f"{table}/{kind}/label" for kind in ("stream", "backup", "export", "import", "bulk")]
        forms += [f"arn:aws:kms:{home}:key/1", f"arn:aws:kinesis:{home}:stream/s", f"arn:aws:iam::{account}:role/r"]
        return self.chance.choice([form for form in forms if re.fullmatch(pattern, form, re.ASCII)])

    # ------------------------------------------------------------------------------------------ expressions

    def _name(self) -> str:
        return self.chance.choice((*ATTRIBUTES, *PLAIN, "#a", "#k"))

    def _path(self) -> str:
        return self._name() + self.chance.choice(("", "", "", "", ".inner", "[0]"))

    def _operand(self) -> str:
        return self.chance.choice((self._path(), ":v", ":v", ":n", f"size({self._path()})"))

    def _test(self) -> str:
        path, operand = self._path(), self._operand()
        return self.chance.choice(
            (
                f"{path} = {operand}",
                f":v <> {path}",
                f"attribute_exists({path})",
                f"attribute_not_exists( {self._name()} )",
                f"begins_with({path}, :v)",
                f"{path} BETWEEN :v AND :w",
                f"{path} IN (:v, {operand})",
                f"NOT {path} = :v",
                f"contains({path}, :v)",
            )
        )

    def _condition(self, depth: int = 0) -> str:
        if depth > 1 or self.chance.random() < 0.6:
            return self._test()
        left, right = self._condition(depth + 1), self._condition(depth + 1)
        return self.chance.choice((f"({left})", f"{left} {self.chance.choice(_WORDS)} {right}", f"NOT ({left} OR {right})"))

    _ConditionExpression = _FilterExpression = _SearchConditionExpression = lambda self: self._condition()

    def _KeyConditionExpression(self, index: Any = None) -> str:  # noqa: N802 - the member's name
        names = ("gk", "#g", "gk", "pk") if index else ("pk", "#k", "(pk)", "gk") if self.wild else ("pk", "#k")
        name, value = self.chance.choice(names), self.chance.choice((":k", ":j"))
        equality = self.chance.choice((f"{name} = {value}", f"{value} = {name}", f"({name} = {value})"))
        if self.wild and self.chance.random() < 0.1:
            equality = self.chance.choice((f"begins_with({name}, {value})", f"{name} > {value}", f"NOT {name} = {value}"))
        if self.chance.random() < 0.3:
            equality = self.chance.choice(
                (f"{equality} AND sk > :v", f"begins_with(sk, :v) AND {equality}", f"{equality} AND sk = :v")
            )
        return equality

    def _ProjectionExpression(self) -> str:  # noqa: N802 - the member's name
        return ", ".join(sorted({self._path() for _ in range(self.chance.randint(1, 2))}))

    def _UpdateExpression(self) -> str:  # noqa: N802 - the member's name
        target = self.chance.choice((*PLAIN, *PLAIN, "#b", "gk", "att_m.inner", "att_l[0]"))
        return self.chance.choice(
            (
                f"SET {target} = {self._operand().replace('size(', '(')}",
                f"SET {target} = if_not_exists({self._path()}, :v)",
                f"SET {target} = list_append({self._path()}, :l)",
                f"SET {target} = {self._path()} + :n",
                f"REMOVE {target}",
                "ADD att_n :n",
                f"SET {target} = :v REMOVE {self.chance.choice(PLAIN)}",
            )
        )

    # --------------------------------------------------------------------------------------------- PartiQL

    def _quoted(self, name: str) -> str:
        return f'"{name}"' if self.chance.random() < 0.4 else name

    def _literal(self) -> str:
        return "?" if self.chance.random() < 0.15 else f"'{self.chance.choice(KEYS)}'"

    def _p_path(self) -> str:
        return self._quoted(self.chance.choice(ATTRIBUTES)) + self.chance.choice(("", "", "", ".inner", "['inner']"))

    def _p_test(self) -> str:
        path, literal = self._p_path(), self._literal()
        return self.chance.choice(
            (
                f"{path} = {literal}",
                f"{literal} = {self._quoted('pk')}",
                f"pk = {literal}",
                f"pk IN ({literal}, {self._literal()})",
                f"gk in [{literal}]",
                f"{path} BETWEEN {literal} AND 'z'",
                f"NOT {path} = {literal}",
                f"{path} IS NOT MISSING",
                f"begins_with({path}, {literal})",
                f"size({path}) > 1",
            )
        )

    def _p_condition(self, depth: int = 0) -> str:
        if depth > 1 or self.chance.random() < 0.6:
            return self._p_test()
        left, right = self._p_condition(depth + 1), self._p_condition(depth + 1)
        return self.chance.choice((f"({left})", f"{left} {self.chance.choice(_WORDS)} {right}", f"NOT ({left} OR {right})"))

    def _p_key(self) -> str:
        key = f"{self._quoted('pk')} = {self._literal()} AND sk = '{self.chance.choice('abn')}'"
        return key if self.chance.random() < 0.6 else f"{key} {self.chance.choice(_WORDS)} {self._p_condition()}"

    def _Statement(self) -> str:  # noqa: N802 - the member's name
        table = self._quoted(self.chance.choice(self.tables))
        source = f'"{table.strip(chr(34))}"."{INDEX}"' if self.chance.random() < 0.25 else table
        projected = self.chance.choice(("*", self._p_path(), f"{self._p_path()}, {self._p_path()}"))
        where = self.chance.choice((f" WHERE {self._p_condition()}", f" WHERE {self._p_key()}", ""))
        after = self.chance.choice(("", "", "", " RETURNING ALL OLD *", " RETURNING MODIFIED NEW *"))
        target = self._quoted(self.chance.choice(PLAIN))
        changed = self.chance.choice((f"SET {target} = 'v'", f"REMOVE {target}", f"SET {target} = {self._p_path()}"))
        more = self.chance.choice(("", f", '{self.chance.choice(PLAIN)}': 'v'", ", 'gk': 'd#1'"))
        return self.chance.choice(
            (
                f"SELECT {projected} FROM {source}{where}",  # noqa: S608 - a request, not a query of ours
                f"select {projected} from {source}{where}",  # noqa: S608 - a request, not a query of ours
                f"UPDATE {table} {changed} WHERE {self._p_key()}{after}",
                f"DELETE FROM {table} WHERE {self._p_key()}{after.replace('MODIFIED NEW', 'ALL OLD')}",  # noqa: S608 - a request, not a query of ours
                f"INSERT INTO {table} VALUE {{'pk': {self._literal()}, 'sk': '{self.chance.choice('abn')}'{more}}}",
                f"EXISTS(SELECT {projected} FROM {table} WHERE {self._p_key()})",  # noqa: S608 - a request, not a query of ours
            )
        )


def written(body: dict[str, Any], chance: Random) -> bytes:
    """The bytes of a body, in one of the forms that mean the same."""
    text = json.dumps(body, indent=chance.choice((None, 1)))
    if chance.random() < 0.3:
        text = re.sub(r"[abt]_", lambda found: f"{found[0][0]}\\u005f", text)
    return text.encode()


def _damaged(chance: Random, value: Any) -> Any:
    """The value with one thing somewhere in it that is not as it was."""
    strange = [
        None, True, 0, -1, 1 << 70, 1.5, "", "x", "x" * 300, "arn:aws:dynamodb:us-east-1:000000000000:table/abc", [], {},
        "\ud800",
        {"S": 1}, {"S": "a", "N": "1"}, {"N": "x"}, {"B": "AB=="}, {"Q": "x"}, {"é": "x"}, [{"S": "x"}], "ab\n", "tab_é",
    ]  # fmt: skip
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice(sorted(value))
        action = chance.random()
        if action < 0.1:
            return {key: member for key, member in value.items() if key != name}
        if action < 0.2:
            return {**value, chance.choice(["Unknown", "Item", "Key", "tab_x", "S"]): chance.choice(strange)}
        return {**value, name: _damaged(chance, value[name])}
    if isinstance(value, list) and value and chance.random() < 0.7:
        place = chance.randrange(len(value))
        return [*value[:place], _damaged(chance, value[place]), *value[place + 1 :]] * chance.choice((1, 1, 1, 30))
    return chance.choice(strange)


def damaged_body(operation: str, seed: int) -> Any:
    """A body that is made wildly, with some parts changed that its judge may well refuse."""
    chance = random.Random(seed)
    request: Any = RequestMaker(chance).body(operation)
    for _ in range(chance.randint(1, 3)):
        request = _damaged(chance, request)
    return request
