"""What a log may say of an error that nobody expected."""

from __future__ import annotations

import traceback


def where(defect: BaseException) -> str:
    """Its type and where it happened, but not its text: that of a KeyError is a value of the request."""
    return f"{type(defect).__name__} at\n{''.join(traceback.format_tb(defect.__traceback__))}"
