"""A request described in words, as `explain` is asked: the same fields as an entry of `tests:`, and the same meaning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.actions import ALL
from proxy.policy.trial import identity_of, operation_of
from proxy.policy.vocabulary import WITHOUT_TABLE, unknown_action

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.model import Identity, Operation
    from proxy.policy.rules import Policies


class Misdescribed(Exception):
    """The description does not make a request. The message says what to write."""


@dataclass(frozen=True, slots=True)
class Description:
    """Who asks for what, and what the request would prove. `table`: real, or as the DAG's file calls it."""

    dag: str
    operation: str
    table: str = ""
    index: str = ""
    key: str | None = None
    attributes: tuple[str, ...] | None = None
    returns: str = ""
    task: str = ""
    run: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)
    is_verified: bool = True
    limit: int | None = None
    segments: int = 1
    has_condition: bool = False
    is_new: bool = False
    has_client_token: bool = False

    @property
    def call(self) -> str:
        """The operation, as an entry of `tests:` calls it."""
        return self.operation


def identity_in(description: Description) -> Identity:
    """Who asks."""
    return identity_of(description)


def request_of(description: Description, policies: Policies) -> tuple[Identity, Operation]:
    """The request that is described. Raises Misdescribed."""
    action = description.operation
    if action not in ALL:
        raise Misdescribed(unknown_action(action))
    if not description.table and action not in WITHOUT_TABLE:
        raise Misdescribed(f"{action} is done to a table; name it")
    table = _real(description, policies)
    declared = policies.declared.get(table)
    if description.key is not None and (declared is None or declared.key is None):
        raise Misdescribed(f"no file declares the key of table `{table}`, so a value of it proves nothing; leave the key out")
    return identity_of(description), operation_of(description, declared, table)


def _real(description: Description, policies: Policies) -> str:
    """The table's real name; a real name beats the name that the DAG's file has for another."""
    rules = policies.rules_of(description.dag)
    if description.table in policies.tables or rules is None:
        return description.table
    real = {logical: name for name, logical in rules.names.items()}
    return real.get(description.table, description.table)
