"""Which DAG, task and try this process runs, as the headers that tell the gateway so: a claim, not a proof.

Airflow puts them into the environment of a task before it runs. A triggerer serves many tasks at once: nothing is said there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

# header, variable of Airflow's
HEADERS = (
    ("X-Airflow-Dag-Id", "AIRFLOW_CTX_DAG_ID"),
    ("X-Airflow-Task-Id", "AIRFLOW_CTX_TASK_ID"),
    ("X-Airflow-Run-Id", "AIRFLOW_CTX_DAG_RUN_ID"),
    ("X-Airflow-Try-Number", "AIRFLOW_CTX_TRY_NUMBER"),
    ("X-Airflow-Map-Index", "AIRFLOW_CTX_MAP_INDEX"),  # set by our Airflow plugin: Airflow has no variable for it
)
MAP_INDEX = HEADERS[-1][1]


def claimed_headers(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The claims of this process, percent-encoded UTF-8; what is not known is left out, and all of it without a DAG."""
    if not environment.get(HEADERS[0][1]):
        return {}
    said = ((header, environment.get(variable, "")) for header, variable in HEADERS)
    return {header: quote(value, safe="") for header, value in said if value}
