"""The whole run against stock TFX, on the same images, one after the other on this machine.

Usage: whole_run.py [IMAGES]   (default 20,000 of Fashion-MNIST's training images; `make demo` fetches them)

Ours reads a folder of PNGs, stock TFX the same files in a TFRecord, because it reads no folders. The network,
its 125 steps of 128 images and the evaluation are the same; ours also checks the data against the schema, compares
with the champion and writes its report. Writes whole_run.md beside this file.
"""

import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
SOURCE = HERE.parent / "data" / "fashion-mnist" / "train"
STEPS_OF = 128


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    files = sorted(SOURCE.glob("*/*.png"))
    if len(files) < images:
        sys.exit(
            f"{SOURCE} has {len(files):,} images, not {images:,}; tfx-vision data fetch fashion-mnist fetches them."
        )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        chosen = random.Random(1).sample(files, images)
        copy(chosen, work / "folders")
        child("records", str(work / "folders"), str(work / "records" / "all.tfrecord"))
        steps = images * 8 // 10 // STEPS_OF
        stock = timed(HERE / "stock_pipeline.py", work / "records", work / "stock", 28, steps)
        ours = timed(Path(__file__), "ours", work / "folders", work / "ours")
        again = timed(Path(__file__), "ours", work / "folders", work / "ours")
    (HERE / "whole_run.md").write_text(table(images, steps, stock, ours, again))
    print((HERE / "whole_run.md").read_text())


def copy(files: list[Path], target: Path) -> None:
    for file in files:
        (target / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target / file.parent.name)


def child(*words: str) -> str:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, *([str(Path(__file__))] if words[0] in MODES else []), *words]
    return subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout


def timed(script: Path, *words: object) -> dict:
    """Runs a script that ends by printing a JSON object; adds the wall-clock time of its process."""
    print(f"running {script.name} {words[0] if words[0] == 'ours' else ''}", flush=True)
    started = time.monotonic()
    result = json.loads(child(str(script), *map(str, words)).splitlines()[-1])
    result["seconds"]["process"] = time.monotonic() - started
    return result


def write_records(folders: str, target: str) -> None:
    import tensorflow as tf

    Path(target).parent.mkdir(parents=True)
    with tf.io.TFRecordWriter(target) as writer:
        for file in sorted(Path(folders).glob("*/*")):
            example = tf.train.Example()
            example.features.feature["image"].bytes_list.value.append(file.read_bytes())
            example.features.feature["label"].bytes_list.value.append(file.parent.name.encode())
            writer.write(example.SerializeToString())


def run_ours(folders: str, root: str) -> None:
    started = time.monotonic()
    from pipeline.config import build_config
    from pipeline.local_runner import load, training
    from pipeline.progress import Display

    config = build_config(
        {
            "name": "benchmark",
            "root": root,
            "data": {"path": folders},
            "transform": {"height": 28, "width": 28, "channels": 1},
            "tuner": {"enabled": False},
            "trainer": {"epochs": 1, "batch_size": STEPS_OF, "schedule": "constant"},
        },
        "the benchmark",
    )
    config.folder.mkdir(parents=True, exist_ok=True)
    graph, _ = load(config, training)
    from pipeline.execution import LocalRunner

    seconds = {"import": time.monotonic() - started}
    before = time.monotonic()
    with open(os.devnull, "w") as quiet:
        results = LocalRunner(Display(quiet)).run_with_ir(graph)
    seconds["run"] = time.monotonic() - before
    seconds |= {name: result.seconds for name, result in results.items()}
    from tfx.types import artifact_utils

    from components.evaluator.evaluation import read_evaluation

    verdict = read_evaluation(artifact_utils.get_single_uri(results["Evaluator"].outputs["evaluation"]))
    print(json.dumps({"seconds": seconds, "accuracy": verdict.candidate.overall.accuracy.value}))


def table(images: int, steps: int, stock: dict, ours: dict, again: dict) -> str:
    rows = [
        ("imports", "import", "import"),
        ("ingestion", "ImportExampleGen", "ImageExampleGen"),
        ("statistics", "StatisticsGen", "StatisticsGen"),
        ("schema", "SchemaGen", "SchemaGen"),
        ("validation", "ExampleValidator", "ExampleValidator"),
        ("transform", "Transform", "Transform"),
        (f"training, {steps} steps of {STEPS_OF}", "Trainer", "Trainer"),
        ("evaluation", "Evaluator", "Evaluator"),
        ("trial in a server", "", "InfraValidator"),
        ("push", "Pusher", "Pusher"),
        ("report", "", "Report"),
        ("**the run**", "run", "run"),
        ("**the process, imports included**", "process", "process"),
    ]
    lines = [
        f"# The whole run, {images:,} images of 28 × 28",
        "",
        f"{date.today()}, {machine()}.",
        "Seconds, and how many times faster than stock TFX; `benchmarks/whole_run.py` measured both in one go.",
        "",
        "| | stock TFX | tfx-vision | ratio | the same command again |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, peer, own in rows:
        theirs, mine, cached = (
            result["seconds"].get(key) for result, key in ((stock, peer), (ours, own), (again, own))
        )
        ratio = f"{theirs / mine:.1f} ×" if theirs else ""
        lines.append(f"| {name} | {f'{theirs:.1f}' if theirs else '–'} | {mine:.1f} | {ratio} | {cached:.2f} |")
    lines.append(f"| test accuracy | {stock['accuracy']:.3f} | {ours['accuracy']:.3f} | | |")
    lines += ["", "tfx-vision imports TensorFlow in the first step that uses it, which is ingestion here."]
    return "\n".join(lines) + "\n"


def machine() -> str:
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in facts if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {system}, Python {platform.python_version()}"


MODES = {"records": write_records, "ours": run_ours}

if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in MODES:
        MODES[sys.argv[1]](*sys.argv[2:])
    else:
        main()
