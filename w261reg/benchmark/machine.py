"""What the times were measured on."""

import os
import platform
from pathlib import Path


def machine() -> dict[str, str | int | float]:
    """cores, memory_gb, cpu and os of this machine, the driver's on a cluster."""
    return {"cores": cores(), "memory_gb": round(memory_gb(), 1), "cpu": _cpu(), "os": _os()}


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_gb() -> float:
    """Memory of the machine in GiB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _os() -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}"
