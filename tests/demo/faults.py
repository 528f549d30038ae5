"""What the demo's engine is made to refuse: some writes, with a throttle, as DynamoDB would."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.stack.faults import Faults, throttle

if TYPE_CHECKING:
    from tests.stack.faults import Canned, Seen

_REASON = "TableWriteKeyRangeThroughputExceeded"  # one hot key range, whatever the table as a whole may take


class Throttler(Faults):
    """Throttles every second BatchWriteItem that touches one table. Keeps nothing of what it sees."""

    def __init__(self, table_arn: str) -> None:
        super().__init__()
        self.table_arn = table_arn
        self.throttled = 0
        self._batches = 0
        self._counting = threading.Lock()

    def answer_for(self, request: Seen) -> Canned | None:
        """A throttle in the engine's place, or None."""
        tables = request.body.get("RequestItems", ()) if request.operation == "BatchWriteItem" else ()
        if self.table_arn not in tables and self.table_arn.rpartition("/")[2] not in tables:
            return None
        with self._counting:
            self._batches += 1
            if self._batches % 2:
                return None
            self.throttled += 1
        return throttle("ProvisionedThroughputExceededException", (_REASON, self.table_arn))
