"""Ingestion and statistics against stock TFX and plain file reading, on the same images.

Usage: ingest.py [IMAGES] [--peer no]   (default 10,000 of Fashion-MNIST's training images; more are drawn at random)

ImageExampleGen reads a folder of PNGs; stock TFX, which reads no images, gets the same files in a TFRecord. Each runs
in a process of its own, after its imports. Writes ingest.md beside this file; `--peer no` measures ours alone and
prints, for hundreds of thousands of images.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from whole_run import SOURCE, machine, write_records

SPLITS = ("train", "eval", "test")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("images", type=int, nargs="?", default=10_000)
    parser.add_argument("--peer", choices=["yes", "no"], default="yes")
    parser.add_argument("--child")
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(CHILDREN[options.child](options.work)))
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        make_images(work / "images", options.images)
        chosen = [name for name in CHILDREN if options.peer == "yes" or not name.startswith("stock")]
        results = {name: child(name, work) for name in chosen}
    text = table(options.images, results)
    if options.peer == "yes":
        (Path(__file__).parent / "ingest.md").write_text(text)
    print(text)


def make_images(folder: Path, count: int) -> None:
    """Fashion-MNIST's training images, as many as there are, and then grey noise of the same size."""
    found = random.Random(1).sample(files, count) if len(files := sorted(SOURCE.glob("*/*.png"))) >= count else files
    for file in found:
        (folder / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / file.parent.name)
    if missing := count - len(found):
        import numpy as np
        from PIL import Image

        chance = np.random.default_rng(1)
        for index in range(missing):
            if index % 10_000 == 0:
                pixels = chance.integers(0, 256, (10_000, 28, 28), np.uint8)
            target = folder / f"class {index % 10}" / f"{index // 10_000:03}"
            if index % 10_000 < 10:
                target.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[index % 10_000]).save(target / f"{index}.png", compress_level=0)


def child(name: str, work: Path) -> dict:
    print(f"running {name}", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, "--child", name, "--work", str(work)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return json.loads(process.stdout.splitlines()[-1])


def measured(work: Callable[[], None]) -> dict:
    """Wall-clock and CPU seconds, and the process's peak memory."""
    wall, cpu = time.monotonic(), time.process_time()
    work()
    return {
        "seconds": time.monotonic() - wall,
        "cpu": time.process_time() - cpu,
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


def context(kind: type):  # type: ignore[no-untyped-def]
    return kind.Context(["--runner=FnApiRunner"], tmp_dir=tempfile.mkdtemp(), unique_id="1")  # type: ignore[attr-defined]


def ingest(work: Path) -> dict:
    """ImageExampleGen over the folder."""
    from tfx.types import standard_artifacts

    from components.image_example_gen.component import Quarantine
    from components.image_example_gen.config import DataConfig
    from components.image_example_gen.executor import Executor
    from transform.config import to_json

    config = DataConfig(path=str(work / "images"))
    kinds = {"examples": standard_artifacts.Examples, "facts": standard_artifacts.Examples, "quarantine": Quarantine}
    outputs = {name: [artifact(kind, work / "ours" / name)] for name, kind in kinds.items()}
    executor = Executor(context(Executor))
    return measured(lambda: executor.Do({}, outputs, {"config": json.dumps(to_json(config))}))


def statistics(work: Path) -> dict:
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


def stock_ingest(work: Path) -> dict:
    """ImportExampleGen over a TFRecord, with the same buckets."""
    from google.protobuf import json_format
    from tfx.components.example_gen.import_example_gen import executor
    from tfx.proto import example_gen_pb2
    from tfx.types import standard_artifacts

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
    output = artifact(standard_artifacts.Examples, work / "stock" / "examples")
    stock = executor.Executor(context(executor.Executor))
    return measured(lambda: stock.Do({}, {"examples": [output]}, properties))


def stock_statistics(work: Path) -> dict:
    """TFX's StatisticsGen over the examples."""
    from tfx.components.statistics_gen import executor
    from tfx.types import artifact_utils, standard_artifacts

    examples = artifact(standard_artifacts.Examples, work / "stock" / "examples")
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    output = artifact(standard_artifacts.ExampleStatistics, work / "stock" / "statistics")
    stock = executor.Executor(context(executor.Executor))
    return measured(lambda: stock.Do({"examples": [examples]}, {"statistics": [output]}, {"exclude_splits": "null"}))


CHILDREN: dict[str, Callable[[Path], dict]] = {
    "plain reading": read_files,
    "ImageExampleGen": ingest,
    "StatisticsGen": statistics,
    "stock ImportExampleGen": stock_ingest,
    "stock StatisticsGen": stock_statistics,
}


def table(images: int, results: dict[str, dict]) -> str:
    lines = [
        f"# Ingestion and statistics, {images:,} images of 28 × 28",
        "",
        f"{date.today()}, {machine()}. Images per second of wall-clock and of CPU time, imports not counted;",
        "`benchmarks/ingest.py` measured all in one go. Stock TFX reads the same files from a TFRecord.",
        "",
        "| | images/s | images per CPU second | ratio to stock | peak MiB, with imports |",
        "|---|---:|---:|---:|---:|",
    ]
    peers = {"ImageExampleGen": "stock ImportExampleGen", "StatisticsGen": "stock StatisticsGen"}
    for name, found in results.items():
        peer = results.get(peers.get(name, ""))
        ratio = f"{peer['seconds'] / found['seconds']:.1f} ×" if peer else ""
        speed, cpu = images / found["seconds"], images / found["cpu"]
        lines.append(f"| {name} | {speed:,.0f} | {cpu:,.0f} | {ratio} | {found['peak']:,.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
