"""Free disk and memory of this machine or container, in figures and against limits."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pynomaly_pipelines.operations.health.findings import Finding, Status
from pynomaly_pipelines.operations.health.settings import HealthSettings

PROC, CGROUP = Path("/proc"), Path("/sys/fs/cgroup")
KIB = 1024
PERCENT = 100.0


def disk(folder: Path, settings: HealthSettings) -> Callable[[], Finding]:
    """Free space where a folder lies, or would lie."""

    def check() -> Finding:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        usage = shutil.disk_usage(there)
        free = PERCENT * usage.free / usage.total
        figures = {"free_bytes": usage.free, "total_bytes": usage.total, "free_percent": round(free, 1)}
        status = _under(free, settings.disk_degraded_percent, settings.disk_failed_percent)
        return Finding(status, f"{free:.0f} % of {there} is free", figures)

    return check


def memory(settings: HealthSettings, *, proc: Path = PROC, cgroup: Path = CGROUP) -> Callable[[], Finding]:
    """Memory left to this process: of its container where that has a limit, of the machine otherwise."""

    def check() -> Finding:
        own = _own_bytes(proc)
        free, total = _container(cgroup) or _machine(proc)
        percent = PERCENT * free / total
        figures = {"available_bytes": free, "total_bytes": total, "own_bytes": own}
        status = _under(percent, settings.memory_degraded_percent, settings.memory_failed_percent)
        return Finding(status, f"{percent:.0f} % of memory is available", figures)

    return check


def _under(free_percent: float, degraded: float, failed: float) -> Status:
    if free_percent < failed:
        return Status.FAILED
    return Status.DEGRADED if free_percent < degraded else Status.OK


def _machine(proc: Path) -> tuple[int, int]:
    lines = (line.split() for line in (proc / "meminfo").read_text(encoding="ascii").splitlines())
    kib = {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1}
    return kib["MemAvailable"] * KIB, kib["MemTotal"] * KIB


def _container(cgroup: Path) -> tuple[int, int] | None:
    """Of control groups, version 2 and 1; None where they set no limit. Cached files count as free: they give way."""
    for limit, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        if not (cgroup / limit).exists():
            continue
        text = (cgroup / limit).read_text(encoding="ascii").strip()
        # Version 1 says "no limit" by a number beyond any machine.
        if text == "max" or int(text) >= 1 << 60:
            return None
        total = int(text)
        working = int((cgroup / used).read_text(encoding="ascii")) - _stat(cgroup / Path(limit).parent, cached)
        return max(0, total - working), total
    return None


def _stat(folder: Path, name: str) -> int:
    lines = (line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    return next((int(value) for key, value in lines if key == name), 0)


def _own_bytes(proc: Path) -> int:
    pages = (proc / "self" / "statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
