"""What a process and its descendants have used, from /proc: it stays right on a busy machine, where wall time does not."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PARENT, _TIMES = 1, slice(11, 15)  # fields of /proc/PID/stat behind the name: proc(5)


def tree_of(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        found.append(one := waiting.pop())
        waiting += children.get(one, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the whole tree, children that have ended included."""
    return sum(int(ticks) for one in tree_of(pid) for ticks in _stat(one)[_TIMES]) / _TICK


def memory_mib(pid: int) -> tuple[float, float]:
    """Resident and proportional memory of the whole tree, in MiB."""
    resident = proportional = 0
    for one in tree_of(pid):
        with suppress(OSError):
            resident += _kib(Path(f"/proc/{one}/status"), "VmRSS")
            proportional += _kib(Path(f"/proc/{one}/smaps_rollup"), "Pss")
    return resident / 1024, proportional / 1024


def pinned(cpu: int) -> tuple[str, ...]:
    """What to put before a command, so that it stays on one processor; nothing where there is but one."""
    return ("taskset", "-c", str(cpu)) if len(os.sched_getaffinity(0)) > 1 else ()


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def _kib(file: Path, name: str) -> int:
    return next((int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(f"{name}:")), 0)
