"""What happened, told to audit and metrics alike."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from proxy.defects import where

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
        self.outcome = outbox.later(self._tell, always=True)
        # Record now what waits for the end of the turn.
        self.settle = outbox.flush

    def _tell(self, exchanges: Sequence[Exchange]) -> None:
        try:
            self._audit.outcomes(exchanges)
        except Exception as defect:  # noqa: BLE001 - what cannot be told must stop neither answers nor the counting
            log.error("outcomes of %d requests are not in the audit: %s", len(exchanges), where(defect))
        for exchange in exchanges:
            try:
                self._metrics.record(exchange, self._source.current)
            except Exception as defect:  # noqa: BLE001 - what cannot be counted of one must not cost the others their place
                log.error("the outcome of decision %s is not counted: %s", exchange.id, where(defect))
