"""As the openlineage provider does: it reads what hooks collect. Goes into the plugins folder."""

from __future__ import annotations

from typing import ClassVar

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin
from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
from airflow.sdk.lineage import HookLineageReader


class Reader:
    """Prints the assets of a task that ended well."""

    @hookimpl
    def on_task_instance_success(self) -> None:
        """As that provider does it."""
        lineage = get_hook_lineage_collector().collected_assets
        print("READ", sorted({info.asset.uri for info in lineage.inputs}))
        print("WRITTEN", sorted({info.asset.uri for info in lineage.outputs}))


class ReaderPlugin(AirflowPlugin):
    """What Airflow loads."""

    name = "lineage_reader"
    hook_lineage_readers: ClassVar = [HookLineageReader]
    listeners: ClassVar = [Reader()]
