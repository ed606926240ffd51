"""How fast training is fed, against the same network on a batch that is already in memory, and against plain Keras.

Usage: feeding.py

First, 28 × 28 images and the handbook's ConvNet, in rounds one after the other: the network alone, every feeder, and
what a plain Keras script has, `image_dataset_from_directory` on the same images as files. Then the three feeders
alone, without a network, in processes that may take less memory than the images do. Writes feeding.md beside this
file.
"""

import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import tensorflow as tf

# Beside this file lie namesakes of packages.
sys.path.insert(0, str(Path(__file__).parents[1]))

from trainer_module import data, feeding
from trainer_module.compilation import compiled_model
from trainer_module.config import TrainerConfig
from trainer_module.model_config import ModelConfig
from trainer_module.settings import TrainingSettings
from transform import features
from transform.config import TransformConfig

BATCH, FIRST, STEPS, ROUNDS = 128, 3, 30, 60
"""Images of a step, steps that are not timed and that are, and rounds."""
IMAGES = 5_000
LARGE, LARGE_SIDE, LIMIT_SHARE = 8_000, 128, 0.5
"""Images of the second part, their side in pixels, and the memory they may take as a share of theirs."""


def write(folder: Path, images: int, transform: TransformConfig, pictures: bool) -> None:
    """Noise as transformed examples and, if asked, as PNGs in a folder per class."""
    noise = np.random.default_rng(1)
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "examples.gz"), options) as writer:
        for number in range(images):
            pixels = noise.integers(0, 256, (transform.height, transform.width, transform.channels), np.uint8)
            example = tf.train.Example()
            example.features.feature[features.PIXELS].bytes_list.value.append(pixels.tobytes())
            example.features.feature[features.CLASS_INDEX].int64_list.value.append(number % 10)
            writer.write(example.SerializeToString())
            if pictures:
                path = folder / "files" / str(number % 10) / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(tf.io.encode_png(pixels).numpy())


def with_network(work: Path) -> list[str]:
    """Images a second of each source, and its share of the network alone in the same round: medians and quartiles.

    In pairs and often, as the speed of a shared machine changes by several percent from one round to the next.
    """
    settings = TrainingSettings(
        transform=TransformConfig(height=28, width=28, channels=1),
        model=ModelConfig(filters=[32, 64]),
        trainer=TrainerConfig(batch_size=BATCH, schedule="constant"),
    )
    write(work / "small", IMAGES, settings.transform, pictures=True)
    split = data.open_split([str(work / "small" / "*.gz")], settings.transform, 10)
    one = next(iter(feeding.feed(split, BATCH, feeder="memory", seed=1)))
    sources = {"the network alone": tf.data.Dataset.from_tensors(one).repeat()}
    for feeder in ("memory", "disk", "hybrid"):
        plan = feeding.Plan(feeder=feeder, segments=4 if feeder == "hybrid" else 1)
        sources[feeder] = feeding.feed(split, BATCH, seed=1, plan=plan)
    files = tf.keras.utils.image_dataset_from_directory(
        work / "small" / "files", label_mode="categorical", color_mode="grayscale", image_size=(28, 28),
        batch_size=BATCH, seed=1,
    )  # fmt: skip
    sources["plain Keras, from files"] = files.repeat().prefetch(2)
    model = compiled_model(settings, split)
    rates: dict[str, list[float]] = {name: [] for name in sources}
    for turn in range(ROUNDS + 1):
        for name, source in random.sample(list(sources.items()), len(sources)):
            ends: list[float] = []
            clock = tf.keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: ends.append(time.perf_counter()))  # noqa: B023
            model.fit(source, steps_per_epoch=FIRST + STEPS, callbacks=[clock], verbose=0)
            if turn:  # the first round warms up
                rates[name].append(STEPS * BATCH / (ends[-1] - ends[FIRST - 1]))
    alone = rates["the network alone"]
    rows = []
    for name, found in rates.items():
        shares = [rate / other for rate, other in zip(found, alone, strict=True)]
        low, middle, high = statistics.quantiles(shares, n=4)
        spread = "" if found is alone else f"{low:.1%} – {high:.1%}"
        rows.append(f"| {name} | {statistics.median(found):,.0f} | {middle:.1%} | {spread} |")
    return rows


def large_transform() -> TransformConfig:
    return TransformConfig(height=LARGE_SIDE, width=LARGE_SIDE, channels=3)


def under_a_limit(pattern: str, feeder: str) -> None:
    """Feeds two passes in this process, which may take half the images' size on top of what it has."""
    import psutil

    split = data.open_split([pattern], large_transform(), 10)
    before = psutil.Process().memory_info().data
    limit = before + int(LIMIT_SHARE * split.bytes_in_memory) + 2**27
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        began = time.perf_counter()
        plan = feeding.make_plan(split, TrainerConfig(feeder=feeder, segment_epochs=2))  # type: ignore[arg-type]
        steps = 2 * split.size // BATCH
        batches = feeding.feed(split, BATCH, seed=1, last_step=steps, plan=plan)
        next(iter(batches))
        ready = time.perf_counter()
        for _ in batches:
            pass
        rate = steps * BATCH / (time.perf_counter() - ready)
        result = [plan.feeder, plan.segments, f"{ready - began:.1f}", f"{rate:,.0f}"]
    except (MemoryError, tf.errors.OpError) as error:
        result = [feeder, 1, "–", f"{type(error).__name__}"]
    print(json.dumps(result))


def feeders_under_a_limit(work: Path) -> list[str]:
    write(work / "large", LARGE, large_transform(), pictures=False)
    rows = []
    for feeder in ("memory", "disk", "hybrid", "auto"):
        command = [sys.executable, __file__, str(work / "large" / "*.gz"), feeder]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        chosen, segments, ready, rate = json.loads(printed.splitlines()[-1])
        rows.append(f"| {feeder}{f' → {chosen}' if chosen != feeder else ''} | {segments} | {ready} | {rate} |")
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        first = with_network(Path(name))
        second = feeders_under_a_limit(Path(name))
    megabytes = LARGE * LARGE_SIDE**2 * 3 / 1e6
    lines = [
        "# Feeding",
        "",
        f"{date.today()}, {os.cpu_count()} cores, {platform.freedesktop_os_release()['PRETTY_NAME']}, "
        f"Python {platform.python_version()}; `benchmarks/feeding.py`.",
        "",
        f"Training the ConvNet on 28 × 28 images, batches of {BATCH}; medians of {ROUNDS} interleaved rounds.",
        "",
        "| fed by | images/s | of the network alone in the same round | quartiles |",
        "|---|---:|---:|---:|",
        *first,
        "",
        f"{LARGE:,} images of {LARGE_SIDE} × {LARGE_SIDE}, {megabytes:,.0f} MB, in a process that may take "
        f"{LIMIT_SHARE:.0%} of that for them (`ulimit -d`); two passes without a network.",
        "",
        "| feeder | segments | first batch after (s) | images/s |",
        "|---|---:|---:|---:|",
        *second,
        "",
    ]
    (Path(__file__).parent / "feeding.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    under_a_limit(*sys.argv[1:]) if len(sys.argv) > 2 else main()
