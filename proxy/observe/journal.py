"""What happened, told to audit and metrics alike."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.model import Exchange
    from proxy.observe.audit import AuditLog
    from proxy.observe.metrics import Labels, Metrics
    from proxy.outbox import Outbox

log = logging.getLogger("proxy.journal")


class Source(Protocol):
    """Whose policies are in force."""

    @property
    def current(self) -> Labels:
        """What bounds the labels of metrics."""


class Journal:
    """Audit and metrics, as the pipeline speaks to them. Each of its three is the very function that does it: two calls less."""

    def __init__(self, audit: AuditLog, metrics: Metrics, source: Source, outbox: Outbox) -> None:
        self._audit = audit
        self._metrics = metrics
        self._source = source
        # Put a decision in the audit. Raises Unavailable(AUDIT_UNAVAILABLE).
        self.decision = audit.decision
        # Record how a request ended, by the end of the turn, behind the decisions, which the audit puts off itself. Never raises:
        # what was done is done, and its answer must reach the caller.
        self.outcome = outbox.later(self._tell)
        # Record now what waits for the end of the turn.
        self.settle = outbox.flush

    def _tell(self, exchanges: Sequence[Exchange]) -> None:
        try:
            self._audit.outcomes(exchanges)
        except Exception:  # their answers are on their way: what cannot be told of them must stop neither these nor the counting
            log.exception("outcomes of %d requests are not in the audit", len(exchanges))
        count, labels = self._metrics.record, self._source.current
        for exchange in exchanges:
            try:
                count(exchange, labels)
            except Exception:  # what cannot be counted of one must not cost the others their place
                log.exception("the outcome of decision %s is not counted", exchange.id)
