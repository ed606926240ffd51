"""What Transform may write for training: pixels of the target's size, or the encoded images, decoded at each step.

Usage: materialization.py [SHARE]   (default 1.0: a share of the images of each case)

The images and the executor are those of transform_speed.py. Each way is timed in a process of its own, on all cores:
Transform beyond its start-up, and then what it wrote through the disk feeder, without a network. Writes
materialization.md beside this file.
"""

import json
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from transform_speed import CASES, FEW, child, images, machine, write_records

from trainer_module import data, feeding
from transform.config import TransformConfig

HERE = Path(__file__).parent
BATCH, STEPS = 64, 40
"""Images of a step, and the steps that are timed."""


def main() -> None:
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    lines = [
        "# Pixels or encoded images",
        "",
        f"{date.today()}, {machine()}. `benchmarks/materialization.py` measured all of it in one go. What "
        "`transform.materialize` costs once, in Transform, and at each epoch, without a network.",
        "",
        "| | | Transform, images/s | kB an image | an epoch is fed at, images/s |",
        "|---|---|---:|---:|---:|",
    ]
    for case, (size, channels, count) in CASES.items():
        count = max(int(count * share), 5 * FEW)
        with tempfile.TemporaryDirectory() as records:
            encoded = images(case, count)
            write_records(Path(records, "all"), encoded)
            write_records(Path(records, "few"), encoded[:FEW])
            for way in ("pixels", "encoded"):
                told = child(Path(__file__), way, records, size, channels)
                lines.append(
                    f"| {case}, {count:,} images | {way} | {(count - FEW) / (told['seconds'] - told['start']):,.0f} "
                    f"| {told['bytes'] / count / 1e3:,.1f} | {told['rate']:,.0f} |"
                )
                print(lines[-1], flush=True)
    (HERE / "materialization.md").write_text("\n".join(lines) + "\n")


def measure(way: str, records: str, size: int, channels: int) -> dict:
    from transform_speed import transformed

    config = TransformConfig(height=size, width=size, channels=channels, materialize=way)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as work:
        for name in ("first", "start"):
            start, _ = transformed(f"{records}/few", f"{work}/{name}", config)
        seconds, written = transformed(f"{records}/all", f"{work}/all", config)
        split = data.open_split([f"{work}/all/transformed/Split-train/*"], config, 10)
        batches = iter(feeding.feed(split, BATCH, feeder="disk", seed=1, last_step=feeding.PREFETCHED + STEPS))
        for _ in range(feeding.PREFETCHED):
            next(batches)
        before = time.monotonic()
        rate = sum(len(labels) for _, labels in batches) / (time.monotonic() - before)
    return {"start": start, "seconds": seconds, "bytes": written, "rate": rate}


if __name__ == "__main__":
    if len(sys.argv) == 5:
        way, records, size, channels = sys.argv[1:]
        print(json.dumps(measure(way, records, int(size), int(channels))))
    else:
        main()
