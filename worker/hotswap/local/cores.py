"""Counts the CPU cores available to this process."""

import contextlib
import os
from pathlib import Path


def cores_at_hand(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Return the whole cores that affinity and the container's quota (`cpu.max` of cgroup v2) allow, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no such file: not in a container; "max": no quota
        allowed, period = map(int, quota.read_text().split())
        cores = min(cores, max(1, allowed // period))
    return cores
