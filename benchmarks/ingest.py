"""Ingestion and statistics against stock TFX and plain file reading, on the same images; and far more images.

Usage: ingest.py [IMAGES]      (default 20,000 of Fashion-MNIST's training images; `make demo` fetches them)
       ingest.py --scale [SIZE ...]   (default 10,000, 100,000 and 1,000,000 images of noise; minutes)

ImageExampleGen reads a folder of PNGs; stock TFX, which reads no images, gets the same files in a TFRecord. Each runs
in a process of its own, after its imports, in ROUNDS rounds, whose medians are told: a shared machine is now fast, now
slow. With --scale ours reads TFRecords of every size, and folders up to 100,000 files. Both write their part of
ingest.md beside this file.
"""

import argparse
import json
import os
import random
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from whole_run import SOURCE, machine, write_records

SPLITS = ("train", "eval", "test")
REPORT = Path(__file__).with_suffix(".md")
SCALE = "\n## From ten thousand to a million\n"
ROUNDS = 5
FOLDERS = 100_000
"""Images that are also tried as files in folders."""
BLOCK = 10_000
"""Images of noise made at a time; files in a folder."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=int, nargs="?", default=20_000)
    parser.add_argument("--scale", type=int, nargs="*")
    parser.add_argument("--child")
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(CHILDREN[options.child](options.work)))
        return
    first, _, second = REPORT.read_text().partition(SCALE) if REPORT.exists() else ("", "", "")
    if options.scale is None:
        first = comparison(options.images)
    else:
        second = scale(options.scale or [10_000, 100_000, 1_000_000])
    REPORT.write_text(first + (SCALE + second if second else ""))
    print(REPORT.read_text())


def comparison(images: int) -> str:
    """Ours and stock TFX's, as a table."""
    files = sorted(SOURCE.glob("*/*.png"))
    if len(files) < images:
        sys.exit(f"{SOURCE} has {len(files):,} images; tfx-vision data fetch fashion-mnist fetches 60,000.")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for file in random.Random(1).sample(files, images):
            (work / "images" / file.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, work / "images" / file.parent.name)
        rounds = []
        for _ in range(ROUNDS):
            rounds.append({name: child(name, work) for name in COMPARED})
            for output in OUTPUTS:
                shutil.rmtree(work / output)
        return table(images, rounds)


def scale(sizes: list[int]) -> str:
    """Ours alone on ever more images, as a table."""
    lines = [
        "",
        f"{date.today()}, {machine()}. Images of noise, 28 × 28 PNGs, everything on; `benchmarks/ingest.py --scale`.",
        "Shards are the smallest and largest of the training split. Near copies are looked for among 10,000 images and",
        "pixels measured on 2,000 whatever the size, so their share of the cost falls; what each further image costs",
        "is the difference of CPU time between two sizes.",
        "",
        "| images | from | images/s | µs of CPU per image | of each further | peak MiB, with imports | records/shard |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    before: dict[str, tuple[int, float]] = {}
    for size in sizes:
        for kind, make in (("folders", make_folders), ("TFRecords", make_records)):
            if kind == "folders" and size > FOLDERS:
                continue
            with tempfile.TemporaryDirectory() as folder:
                make(Path(folder), size)
                found = child(f"ImageExampleGen, {kind}", Path(folder))
            speed, cpu, further = size / found["seconds"], found["cpu"] / size * 1e6, ""
            if kind in before:
                smaller, spent = before[kind]
                further = f"{(found['cpu'] - spent) / (size - smaller) * 1e6:.0f}"
            before[kind] = size, found["cpu"]
            shards = f"{min(found['shards']):,} … {max(found['shards']):,}"
            lines.append(
                f"| {size:,} | {kind} | {speed:,.0f} | {cpu:.0f} | {further} | {found['peak']:,.0f} | {shards} |"
            )
    return "\n".join(lines) + "\n"


def noise(count: int) -> Iterator[bytes]:
    """Grey PNGs of noise, no two the same."""
    import numpy as np

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    chance = np.random.default_rng(1)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0))
    end = chunk(b"IEND", b"")
    for index in range(count):
        if index % BLOCK == 0:
            rows = chance.integers(0, 256, (BLOCK, 28, 29), np.uint8)
            rows[:, :, 0] = 0  # the filter of each row: none
        yield start + chunk(b"IDAT", zlib.compress(rows[index % BLOCK].tobytes(), 0)) + end


def make_folders(work: Path, count: int) -> None:
    for index, encoded in enumerate(noise(count)):
        folder = work / "images" / f"class {index % 10}" / f"{index // BLOCK:03}"
        if index % BLOCK < 10:
            folder.mkdir(parents=True)
        (folder / f"{index}.png").write_bytes(encoded)


def make_records(work: Path, count: int) -> None:
    """In eight files, by another process: TensorFlow is no part of this one."""
    code = f"import ingest, pathlib; ingest.write_noise(pathlib.Path({str(work)!r}), {count})"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent, env=ENVIRONMENT)


def write_noise(work: Path, count: int) -> None:
    import tensorflow as tf

    (work / "records").mkdir()
    writers = [tf.io.TFRecordWriter(str(work / "records" / f"noise-{shard}.tfrecord")) for shard in range(8)]
    for index, encoded in enumerate(noise(count)):
        example = tf.train.Example()
        example.features.feature["image"].bytes_list.value.append(encoded)
        example.features.feature["label"].bytes_list.value.append(b"class %d" % (index % 10))
        writers[index % 8].write(example.SerializeToString())
    for writer in writers:
        writer.close()


def child(name: str, work: Path) -> dict:
    print(f"running {name}", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--child", name, "--work", str(work)]
    process = subprocess.run(command, check=True, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    return json.loads(process.stdout.splitlines()[-1])


def measured(work: Callable[[], None]) -> dict:
    """Wall-clock and CPU seconds, those of processes that it started included, and this process's peak memory."""
    wall, cpu = time.monotonic(), sum(os.times()[:4])
    work()
    return {
        "seconds": time.monotonic() - wall,
        "cpu": sum(os.times()[:4]) - cpu,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def read_files(work: Path) -> dict:
    """Plain reading of every file."""

    def read() -> None:
        for file in (work / "images").rglob("*.png"):
            file.read_bytes()

    return measured(read)


def artifact(kind: type, uri: Path):  # type: ignore[no-untyped-def]
    made = kind()
    made.uri = str(uri)
    uri.mkdir(parents=True, exist_ok=True)
    return made


def context(kind: type, arguments: list[str] | None = None):  # type: ignore[no-untyped-def]
    from pipeline.config import BeamConfig

    arguments = arguments or BeamConfig().arguments
    return kind.Context(arguments, tmp_dir=tempfile.mkdtemp(), unique_id="1")  # type: ignore[attr-defined]


def ingest(work: Path, path: str = "images", output: str = "ours", **settings: object) -> dict:
    """ImageExampleGen."""
    import pyarrow.parquet as pq
    from tfx.types import standard_artifacts

    from components.image_example_gen.component import Quarantine
    from components.image_example_gen.config import DataConfig
    from components.image_example_gen.executor import Executor
    from transform.config import from_json, to_json

    config = from_json(DataConfig, {"path": str(work / path)} | settings)
    kinds = {"examples": standard_artifacts.Examples, "facts": standard_artifacts.Examples, "quarantine": Quarantine}
    outputs = {name: [artifact(kind, work / output / name)] for name, kind in kinds.items()}
    executor = Executor(context(Executor))
    found = measured(lambda: executor.Do({}, outputs, {"config": json.dumps(to_json(config))}))
    files = (work / output / "facts" / "Split-train").iterdir()
    return found | {"shards": [pq.read_metadata(file).num_rows for file in files]}


def ingest_plain(work: Path) -> dict:
    """ImageExampleGen without what stock TFX does not do."""
    return ingest(work, output="plain", pixel_sample=0, duplicates={"near": 0})


def ingest_records(work: Path) -> dict:
    """ImageExampleGen over TFRecords."""
    return ingest(work, "records/*.tfrecord")


def our_statistics(work: Path) -> dict:
    """StatisticsGen over the facts."""
    from tfx.types import artifact_utils, standard_artifacts

    from components.statistics_gen.component import statistics_options
    from components.statistics_gen.executor import Executor

    facts = artifact(standard_artifacts.Examples, work / "ours" / "facts")
    facts.split_names = artifact_utils.encode_split_names(list(SPLITS))
    output = artifact(standard_artifacts.ExampleStatistics, work / "ours" / "statistics")
    executor, options = Executor(context(Executor)), statistics_options().to_json()
    properties = {"stats_options_json": options}
    return measured(lambda: executor.Do({"examples": [facts]}, {"statistics": [output]}, properties))


def stock_ingest(work: Path, arguments: list[str] | None = None, output: str = "stock") -> dict:
    """ImportExampleGen over a TFRecord, with the same buckets and Beam options."""
    from google.protobuf import json_format
    from tfx.components.example_gen.import_example_gen import executor
    from tfx.proto import example_gen_pb2
    from tfx.types import standard_artifacts

    if not (work / "records").exists():
        write_records(str(work / "images"), str(work / "records" / "all.tfrecord"))
    Split = example_gen_pb2.SplitConfig.Split
    buckets = [Split(name=name, hash_buckets=count) for name, count in zip(SPLITS, (8, 1, 1), strict=True)]
    properties = {
        "input_base": str(work / "records"),
        "input_config": json_format.MessageToJson(
            example_gen_pb2.Input(splits=[example_gen_pb2.Input.Split(name="all", pattern="*")])
        ),
        "output_config": json_format.MessageToJson(
            example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=buckets))
        ),
        "output_data_format": example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE,
    }
    examples = artifact(standard_artifacts.Examples, work / output / "examples")
    stock = executor.Executor(context(executor.Executor, arguments))
    return measured(lambda: stock.Do({}, {"examples": [examples]}, properties))


def stock_ingest_as_used(work: Path) -> dict:
    """The same with the Beam options that TFX's own templates and guides give."""
    return stock_ingest(work, USUAL, "stock as used")


def stock_statistics(work: Path) -> dict:
    """TFX's StatisticsGen over the examples."""
    from tfx.components.statistics_gen import executor
    from tfx.types import artifact_utils, standard_artifacts

    examples = artifact(standard_artifacts.Examples, work / "stock" / "examples")
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    output = artifact(standard_artifacts.ExampleStatistics, work / "stock" / "statistics")
    stock = executor.Executor(context(executor.Executor))
    return measured(lambda: stock.Do({"examples": [examples]}, {"statistics": [output]}, {"exclude_splits": "null"}))


ENVIRONMENT = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
USUAL = ["--direct_running_mode=in_memory", "--direct_num_workers=0"]
"""Beam chooses the runner; TFX packs its own sources for workers elsewhere."""
STOCK, STOCK_AS_USED = "stock ImportExampleGen", "stock ImportExampleGen, usual options"
OUTPUTS = ("ours", "plain", "stock", "stock as used")
COMPARED: dict[str, Callable[[Path], dict]] = {
    "plain reading": read_files,
    "ImageExampleGen": ingest,
    "ImageExampleGen without near copies and pixels": ingest_plain,
    "StatisticsGen": our_statistics,
    STOCK: stock_ingest,
    STOCK_AS_USED: stock_ingest_as_used,
    "stock StatisticsGen": stock_statistics,
}
CHILDREN = COMPARED | {"ImageExampleGen, folders": ingest, "ImageExampleGen, TFRecords": ingest_records}


def table(images: int, rounds: list[dict[str, dict]]) -> str:
    def middle(name: str, fact: str) -> float:
        return statistics.median(found[name][fact] for found in rounds)

    def ratio(name: str, peer: str) -> str:
        ratios = [found[peer]["seconds"] / found[name]["seconds"] for found in rounds]
        return f"{statistics.median(ratios):.1f} × ({min(ratios):.1f} … {max(ratios):.1f})"

    lines = [
        f"# Ingestion and statistics, {images:,} images of 28 × 28",
        "",
        f"{date.today()}, {machine()}. Images per second of wall-clock and of CPU time, imports not counted:",
        f"medians of {ROUNDS} rounds, and of the ratios within each; `benchmarks/ingest.py` measured all in one go.",
        "Stock TFX reads the same files from a TFRecord. Its usual options are `--direct_running_mode=in_memory",
        "--direct_num_workers=0`, with which it packs its own sources for workers elsewhere; the other row has the",
        "options that this pipeline gives.",
        "",
        "| | images/s | images per CPU second | ratio to stock | to its usual options | peak MiB, with imports |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name in COMPARED:
        peers = ["", ""]
        if name == "StatisticsGen":
            peers[0] = ratio(name, "stock StatisticsGen")
        elif name.startswith("ImageExampleGen"):
            peers = [ratio(name, STOCK), ratio(name, STOCK_AS_USED)]
        speed, cpu, peak = images / middle(name, "seconds"), images / middle(name, "cpu"), middle(name, "peak")
        lines.append(f"| {name} | {speed:,.0f} | {cpu:,.0f} | {peers[0]} | {peers[1]} | {peak:,.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
