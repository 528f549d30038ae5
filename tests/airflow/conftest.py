"""The place in which every recipe is run, by Airflow 3 and by Airflow 2; it stands for all of these tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.airflow.place import place as _place
from tests.airflow.ways import OTHERS, WAYS, WAYS_OF_2
from tests.stack.airflow import Airflow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.airflow.place import Place


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Engine, issuer and gateways."""
    roles = {name: way.role for name, way in {**WAYS, **WAYS_OF_2}.items()} | dict.fromkeys(OTHERS, "ddb-orders")
    with _place(tmp_path_factory.mktemp("place"), roles) as stands:
        yield stands


@pytest.fixture(scope="package")
def airflow2(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """A real Airflow 2.11 with a fresh database, for `airflow dags test`."""
    return Airflow.create(tmp_path_factory.mktemp("airflow2"), "airflow2")
