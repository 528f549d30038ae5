"""Reader of `tests:`: who asks for what, and what the request would prove. Each field is checked, for a test that is misread
proves nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.actions import ALL
from proxy.policy.declared import TestDeclaration, Word
from proxy.policy.fields import check_fields, entries_of, moment_of, section_of, string_of, words_of
from proxy.policy.vocabulary import TEST_FIELDS, WITHOUT_TABLE, unknown_action
from proxy.yaml_source import boolean_of, integer_of

if TYPE_CHECKING:
    import collections.abc as abc

    from proxy.policy.declared import TableDeclaration
    from proxy.yaml_source import Mapping, Mistakes, Node

_TEXTS = ("dag", "call", "table", "index", "key", "returns", "task", "run", "evidence", "environment", "expect")
_RETURNS = ("NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW")


def declared_test(
    node: Node, tables: abc.Mapping[str, TableDeclaration], no_table: abc.Callable[[str], str], mistakes: Mistakes
) -> TestDeclaration:
    """One test. `no_table` says what is wrong with a table's name that is not declared."""
    fields = section_of(node, "a test", mistakes)
    check_fields(fields, TEST_FIELDS, "a test", mistakes)
    text = {field: string_of(fields.get(field), f"`{field}` of a test", mistakes) for field in _TEXTS}
    for field in ("dag", "call", "table", "expect"):
        if field not in fields and not (field == "table" and text["call"] in WITHOUT_TABLE):
            mistakes.add(fields.place, f"the test has no `{field}`; it must say dag, call, table and expect")
    if text["call"] and text["call"] not in ALL:
        mistakes.add(fields.place, f"`call` of a test: {unknown_action(text['call'])}")
    if text["table"] and text["table"] not in tables:
        mistakes.add(fields.place, f"`table` of a test: {no_table(text['table'])}")
    elif text["table"]:
        _check_key(text, tables[text["table"]], fields, mistakes)
    _check_choices(text, fields, mistakes)
    attributes = words_of(fields.get("attributes"), "`attributes` of a test", mistakes)
    claims = entries_of(fields.get("claims"), "`claims` of a test", mistakes) if "claims" in fields else ()
    return TestDeclaration(
        place=fields.place,
        dag=text["dag"],
        call=text["call"],
        table=text["table"],
        index=text["index"],
        task=text["task"],
        environment=Word(text["environment"], fields.place_of("environment")) if text["environment"] else None,
        expect_allow=text["expect"] == "allow",
        key=text["key"] if "key" in fields else None,
        attributes=tuple(word.text for word in attributes) if "attributes" in fields else None,
        returns=text["returns"],
        run=text["run"],
        claims={name: string_of(value, f"claim `{name}` of a test", mistakes) for name, _, value in claims},
        is_verified=text["evidence"] != "claimed",
        limit=_number(fields, "limit", mistakes),
        segments=_number(fields, "segments", mistakes) or 1,
        has_condition=_flag(fields, "condition", mistakes),
        is_new=_flag(fields, "new_item", mistakes),
        has_client_token=_flag(fields, "client_token", mistakes),
        at=moment_of(fields.get("at"), "`at` of a test", mistakes) if "at" in fields else None,
    )


def _check_key(text: dict[str, str], table: TableDeclaration, fields: Mapping, mistakes: Mistakes) -> None:
    if text["index"] and text["index"] not in table.indexes:
        mistakes.add(fields.place, f"`index` of a test: table `{text['table']}` declares no index `{text['index']}`")
    elif "key" in fields and table.key is None:
        mistakes.add(
            fields.place_of("key"), f'`key` of a test: table `{text["table"]}` declares no key; write key: "pk (S)" there'
        )


def _check_choices(text: dict[str, str], fields: Mapping, mistakes: Mistakes) -> None:
    for field, known in (("expect", ("allow", "deny")), ("evidence", ("verified", "claimed")), ("returns", _RETURNS)):
        if text[field] and text[field] not in known:
            mistakes.add(fields.place, f"`{field}` of a test is {' or '.join(known)}, not `{text[field]}`")


def _number(fields: Mapping, field: str, mistakes: Mistakes) -> int | None:
    node = fields.get(field)
    return None if node is None else integer_of(node, f"`{field}` of a test", mistakes)


def _flag(fields: Mapping, field: str, mistakes: Mistakes) -> bool:
    node = fields.get(field)
    return node is not None and boolean_of(node, f"`{field}` of a test", mistakes)
