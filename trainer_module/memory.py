"""How much memory there is to take."""

import resource
from pathlib import Path

import psutil

CGROUP = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current"), "inactive_file"),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
        "total_inactive_file",
    ),
)
"""Limit and usage of a container, in version 2 and 1 of control groups, and the name of what it can give back."""


def free_memory() -> int:
    """Bytes that this process can take: of the machine, of its container, and within its own limit (ulimit -d)."""
    free = free_for_files()
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    if limit != resource.RLIM_INFINITY:
        free = min(free, limit - psutil.Process().memory_info().data)
    return max(free, 0)


def free_for_files() -> int:
    """Bytes of files that the system can keep in memory; they count for the machine and the container only."""
    free = psutil.virtual_memory().available
    for limit_file, usage_file, reclaimable in CGROUP:
        if limit_file.exists() and (text := limit_file.read_text().strip()) != "max":
            statistics = dict(line.split() for line in (limit_file.parent / "memory.stat").read_text().splitlines())
            used = int(usage_file.read_text()) - int(statistics.get(reclaimable, 0))
            free = min(free, int(text) - used)
    return max(free, 0)
