"""How many cores there are for this process."""

import contextlib
import os
from pathlib import Path


def cores_at_hand(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Whole cores by this process's affinity and its container's quota (`cpu.max` of cgroup 2), at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # no such file: no container; "max": no quota
        allowed, period = map(int, quota.read_text().split())
        cores = min(cores, max(1, allowed // period))
    return cores
