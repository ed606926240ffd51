"""The statistics of spans that passed, in a folder: where no driver can ask the metadata store for them."""

import os
import re
from pathlib import Path

import tensorflow_data_validation as tfdv

from components.data_gate.statistics import Statistics

FILE = re.compile(r"span-(\d+)\.pb")


def newest_before(folder: str, span: int) -> tuple[int, Statistics] | None:
    """The newest span before another one that passed, and the statistics of its training split."""
    found = (FILE.fullmatch(path.name) for path in Path(folder).glob("*"))
    earlier = [int(name[1]) for name in found if name and int(name[1]) < span]
    if not earlier:
        return None
    return max(earlier), tfdv.load_stats_binary(str(Path(folder, f"span-{max(earlier)}.pb")))


def remember(folder: str, span: int, statistics: Statistics) -> None:
    """Keeps the statistics of a span's training split; the file is there whole or not at all."""
    target = Path(folder, f"span-{span}.pb")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.write_bytes(statistics.SerializeToString())
    partial.replace(target)
