"""What stands around an Airflow task that uses DynamoDB: a refusal ends it whoever wrapped it, and its use is told at its end.

Knows tasks only by what Airflow 2.11 and 3 have in common. A defect in the telling never fails a task.
"""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.worker import denials, lineage
from proxy.worker.claims import MAP_INDEX
from proxy.worker.usage import USAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOG = logging.getLogger("airflow.task.dynamodb_proxy")
XCOM_KEY = "dynamodb_gateway"
_TRIGGER_FAILED = "__fail__"  # Airflow's `next_method` of a task whose trigger raised
_IS_GUARDED = "_dynamodb_proxy_guards"


class Endings(NamedTuple):
    """Airflow's exceptions by which a task ends as they say: the refusal's, and those that are left as they are."""

    refused: type[Exception]
    others: tuple[type[BaseException], ...]


def begin(task_instance: Any, endings: Endings) -> None:
    """A task is about to run in this process: count from here on, know its map index, and stand around what it runs."""
    USAGE.clear()
    index = getattr(task_instance, "map_index", -1)
    if isinstance(index, int) and index >= 0:
        os.environ[MAP_INDEX] = str(index)
    else:
        os.environ.pop(MAP_INDEX, None)
    own = vars(task_instance.task)
    if _IS_GUARDED in own:
        return
    for entry in ("execute", "resume_execution"):  # the two ways by which Airflow enters an operator
        # past the operator's __setattr__, which looks for templates and dependencies
        own[entry] = guarded(getattr(task_instance.task, entry), task_instance, endings)
    own[_IS_GUARDED] = True


def guarded(call: Callable[..., Any], task_instance: Any, endings: Endings) -> Callable[..., Any]:
    """`call`, after which its use is told, and by which a refusal ends the task also where a hook has wrapped it."""

    @functools.wraps(call)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except (endings.refused, *endings.others):
            raise
        except Exception as error:  # hooks wrap a refusal in anything; what is none is raised again
            refusal = refusal_in(error, endings.refused) or refusal_of_trigger(kwargs, endings.refused)
            if not refusal:
                raise
            raise endings.refused(refusal) from error
        finally:
            tell(task_instance)

    return run


def refusal_in(error: BaseException, refused: type[Exception]) -> str:
    """The words of the refusal that this error came of, or ""."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, refused):
            return str(cause)
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return ""


def refusal_of_trigger(arguments: Mapping[str, Any], refused: type[Exception]) -> str:
    """The words of the refusal by which a trigger failed, as Airflow hands its traceback to the task; or ""."""
    if arguments.get("next_method") != _TRIGGER_FAILED or denials.is_off():
        return ""
    traceback = (arguments.get("next_kwargs") or {}).get("traceback") or ()
    head = f"{refused.__module__}.{refused.__qualname__}: "
    found = [line for line in "".join(traceback).splitlines() if line.startswith(head)]
    return found[-1].removeprefix(head) if found else ""


def tell(task_instance: Any) -> None:
    """The task's line in its log, the same as XCom, and the tables for OpenLineage."""
    line = USAGE.line()
    if not line:
        return
    LOG.info("%s", line)
    try:
        lineage.collect(USAGE)
        if getattr(task_instance.task, "do_xcom_push", True):
            task_instance.xcom_push(key=XCOM_KEY, value=USAGE.summary())
    except Exception:  # what is told of a task must not decide how it ends
        LOG.debug("the use of DynamoDB could not be kept", exc_info=True)
