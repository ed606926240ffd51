"""Transform against stock TFX Transform with the same resize, on the same images, and against plain decode + resize.

Usage: transform_speed.py [SHARE]   (default 1.0: a share of the images of each case)

28 px: Fashion-MNIST's PNGs (`make demo` fetches them). 300 px and 12 megapixels: crops of scikit-learn's two
photographs, mirrored, enlarged and with a sensor's noise, as JPEGs of quality 90. Stock decodes with
`tf.io.decode_image`, resizes with `tf.image.resize_with_pad` by area and writes float32, as TFX's tutorials do.
The limit is `tf.data` with nothing but decoding and the resize. Each case runs in a process of its own, on one core.
There the executor transforms a few images twice: the second time is its start-up, and what all of them take beyond it
gives the images per second. Imports are not counted. Writes transform_speed.md beside this file.
"""

import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from transform.config import TransformConfig, to_json

HERE = Path(__file__).parent
FASHION = HERE.parent / "data" / "fashion-mnist" / "train"
CASES = {"28 px": (28, 1, 20_000), "300 → 128 px": (128, 3, 2000), "12 megapixels → 224 px": (224, 3, 120)}
"""Target size, channels and number of images."""
FEW = 8
"""Images that show what a run costs whatever their number."""


def main() -> None:
    share = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    lines = [
        "# Transform, images per second",
        "",
        f"{date.today()}, {machine()}. `benchmarks/transform_speed.py` measured all of it in one go, on one core.",
        "",
        "| | stock TFX | tfx-vision | ratio | decode + resize | of this limit | start-up: stock, tfx-vision "
        "| bytes per image, H·W·C = 1: stock, tfx-vision | peak memory: stock, tfx-vision |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for case, (size, channels, count) in CASES.items():
            count = max(int(count * share), 5 * FEW)
            records = Path(folder, case.split()[0])
            encoded = images(case, count)
            write_records(records / "all", encoded)
            write_records(records / "few", encoded[:FEW])
            limit, stock, ours = (
                child(Path(__file__), mode, records, size, channels) for mode in ("limit", "stock", "ours")
            )
            rates = [count / limit["seconds"]]
            rates += [(count - FEW) / (result["seconds"] - result["start"]) for result in (stock, ours)]
            relative = [result["bytes"] / count / (size * size * channels) for result in (stock, ours)]
            lines.append(
                f"| {case}, {count:,} images | {rates[1]:,.0f} | {rates[2]:,.0f} | {rates[2] / rates[1]:.1f} × "
                f"| {rates[0]:,.0f} | {rates[2] / rates[0]:.0%} | {stock['start']:.1f} s, {ours['start']:.1f} s "
                f"| {relative[0]:.2f}, {relative[1]:.2f} "
                f"| {stock['peak']:,.0f} MB, {ours['peak']:,.0f} MB |"
            )
            print(lines[-1], flush=True)
    (HERE / "transform_speed.md").write_text("\n".join(lines) + "\n")


def write_records(folder: Path, encoded: list[bytes]) -> None:
    """Examples, and beside them the facts that ImageExampleGen writes."""
    import tensorflow as tf

    from components.image_example_gen.shards import open_shard

    with open_shard(str(folder / "examples"), str(folder / "facts"), "train", 0, 1) as writer:
        for number, image in enumerate(encoded):
            example = tf.train.Example()
            label = b"%d" % (number % 10)
            for name, value in (("image", image), ("label", label), ("path", b"%d" % number)):
                example.features.feature[name].bytes_list.value.append(value)
            writer.write(example.SerializeToString(), {"label": label})


def images(case: str, count: int) -> list[bytes]:
    if case == "28 px":
        return [file.read_bytes() for file in sorted(FASHION.glob("*/*.png"))[:: 60_000 // count][:count]]
    height, width = (300, 300) if case.startswith("300") else (3000, 4000)
    # Photographs of 12 megapixels take a second each to make; a few different ones say as much.
    made = [
        photo(np.random.default_rng(seed), height, width) for seed in range(min(count, 200 if height == 300 else 8))
    ]
    return [made[number % len(made)] for number in range(count)]


def photo(random: np.random.Generator, height: int, width: int) -> bytes:
    from sklearn.datasets import load_sample_images

    source = Image.fromarray(load_sample_images().images[random.integers(2)])
    top, left = random.integers(0, 427 - 300), random.integers(0, 640 - 400)
    image = source.crop((left, top, left + 300 * width // height, top + 300))
    if random.integers(2):
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    values = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS), np.float32)
    noisy = values + random.normal(0, 3, values.shape)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def child(script: Path, mode: str, records: object, size: int, channels: int) -> dict:
    """Runs a mode of a script in a process of its own; it ends by printing a JSON object."""
    environment = os.environ | {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "STOCK_SIZE": str(size),
        "STOCK_CHANNELS": str(channels),
    }
    command = [sys.executable, str(script), mode, *map(str, (records, size, channels))]
    process = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return json.loads(process.stdout.splitlines()[-1])


def run_limit(records: str, size: int, channels: int) -> dict:
    import tensorflow as tf

    spec = {"image": tf.io.FixedLenFeature([], tf.string)}
    dataset = tf.data.TFRecordDataset(tf.io.gfile.glob(f"{records}/all/examples/Split-train/*"), "GZIP")
    encoded = [tf.io.parse_single_example(record, spec)["image"] for record in dataset]

    def read(one: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(one, channels=channels, expand_animations=False)
        return tf.cast(tf.image.resize(image, (size, size), "area"), tf.uint8)

    pixels = tf.data.Dataset.from_tensor_slices(encoded).map(read, num_parallel_calls=1)
    for _ in pixels.take(20):
        pass
    before = time.monotonic()
    for _ in pixels:
        pass
    return {"seconds": time.monotonic() - before}


def run_transform(records: str, size: int, channels: int, *, stock: bool) -> dict:
    config = TransformConfig(height=size, width=size, channels=channels)
    with tempfile.TemporaryDirectory() as work:
        for name in ("first", "start"):
            start, _ = transformed(f"{records}/few", f"{work}/{name}", config, stock=stock)
        seconds, written = transformed(f"{records}/all", f"{work}/all", config, stock=stock)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"start": start, "seconds": seconds, "bytes": written, "peak": peak}


def transformed(records: str, work: str, config: TransformConfig, *, stock: bool = False) -> tuple[float, int]:
    """Runs the executor in a new folder; returns its seconds and the bytes of the transformed examples."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tfx.components.transform import executor as tfx_executor
    from tfx.types import artifact_utils, standard_artifacts

    def artifact(kind: type, folder: str) -> object:
        made = kind()
        made.uri = str(Path(work, folder))
        return made

    inputs = {}
    for name in ("examples", "facts"):
        inputs[name] = standard_artifacts.Examples()
        inputs[name].uri = str(Path(records, name))
        inputs[name].split_names = artifact_utils.encode_split_names(["train"])
    schema = artifact(standard_artifacts.Schema, "schema")
    described = schema_pb2.Schema()
    for name in ("image", "label", "path"):
        feature = described.feature.add(name=name, type=schema_pb2.BYTES)
        feature.presence.min_fraction = 1
        feature.shape.dim.add(size=1)
    Path(schema.uri).mkdir(parents=True)
    Path(schema.uri, "schema.pbtxt").write_text(text_format.MessageToString(described))
    properties = {"preprocessing_fn": "stock_module.preprocessing_fn"}
    outputs = {
        "transform_graph": artifact(standard_artifacts.TransformGraph, "graph"),
        "transformed_examples": artifact(standard_artifacts.Examples, "transformed"),
    }
    executor = tfx_executor.Executor
    if stock:
        inputs = {"examples": inputs["examples"], "schema": schema}
        for name, kind in {
            "pre_transform_schema": standard_artifacts.Schema,
            "pre_transform_stats": standard_artifacts.ExampleStatistics,
            "post_transform_schema": standard_artifacts.Schema,
            "post_transform_stats": standard_artifacts.ExampleStatistics,
            "post_transform_anomalies": standard_artifacts.ExampleAnomalies,
        }.items():
            outputs[name] = artifact(kind, name)
    else:
        from components.transform.executor import Executor as executor

        properties = {"config": json.dumps(to_json(config))}
        outputs["updated_analyzer_cache"] = artifact(standard_artifacts.TransformCache, "cache/1")
    arguments = ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]
    context = executor.Context(beam_pipeline_args=arguments, tmp_dir=str(Path(work, "tmp")), unique_id="1")
    before = time.monotonic()
    executor(context).Do(
        {name: [given] for name, given in inputs.items()},
        {name: [output] for name, output in outputs.items()},
        properties,
    )
    seconds = time.monotonic() - before
    return seconds, sum(file.stat().st_size for file in Path(work, "transformed").rglob("*.gz"))


def machine() -> str:
    from whole_run import machine

    return machine()


MODES = {
    "limit": run_limit,
    "stock": lambda *words: run_transform(*words, stock=True),
    "ours": lambda *words: run_transform(*words, stock=False),
}

if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in MODES:
        mode, records, size, channels = sys.argv[1:]
        os.sched_setaffinity(0, {0})
        print(json.dumps(MODES[mode](records, int(size), int(channels))))
    else:
        main()
