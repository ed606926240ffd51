"""Training killed by `kill -9` at random moments and started again, against the same training left alone.

Usage: kills.py [KILLS]   (default 20)

The digits of scikit-learn, dropout, batch normalization and augmentation, Adam under a cosine, a checkpoint every 7
steps and every epoch. Each attempt is a process of its own; what a killed one leaves behind is its folder of
checkpoints. Writes kills.md beside this file.
"""

import hashlib
import json
import multiprocessing
import os
import platform
import random
import shutil
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

# Beside this file lie namesakes of packages.
sys.path.insert(0, str(Path(__file__).parents[1]))

from trainer_module import (  # the attempts are forked, so that each need not import TensorFlow anew
    compilation,
    data,
    trainer,
)
from trainer_module.augmentation_config import AugmentationConfig
from trainer_module.config import CheckpointConfig, TrainerConfig
from trainer_module.fitting import fit
from trainer_module.model_config import ModelConfig
from trainer_module.settings import TrainingSettings
from transform import features
from transform.config import TransformConfig

SETTINGS = TrainingSettings(
    transform=TransformConfig(height=8, width=8, channels=1),
    model=ModelConfig(filters=[16, 32], hidden_units=32),
    augmentation=AugmentationConfig(rotation=10, mixup=0.2),
    trainer=TrainerConfig(epochs=8, batch_size=32, patience=0, checkpoints=CheckpointConfig(every_steps=7)),
)


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        finished(start(write_digits, work / "digits.gz"))
        whole = work / "whole"
        finished(start(train, work / "digits.gz", whole))
        seconds = json.loads((whole / "began").read_text())
        expected = (whole / "weights").read_text()
        length = (whole / "weights").stat().st_mtime - seconds
        draw = random.Random(1)
        rows = [killed(work, draw, length, expected) for _ in range(kills)]
    (Path(__file__).parent / "kills.md").write_text(table(rows, length))
    print((Path(__file__).parent / "kills.md").read_text())
    if not all(row[-1] == "yes" for row in rows):
        sys.exit(1)


def killed(work: Path, draw: random.Random, length: float, expected: str) -> tuple[str, str, str]:
    """One training: killed at a moment within `length` seconds after it began, then started again until it ends."""
    folder, alive = work / "killed", False
    while not alive:  # a busy machine may be faster this time: then the moment was too late, and another is drawn
        shutil.rmtree(folder, ignore_errors=True)
        moment = draw.uniform(0, length)
        process = start(train, work / "digits.gz", folder)
        while not (folder / "began").exists():
            time.sleep(0.001)
        time.sleep(max(moment - (time.time() - json.loads((folder / "began").read_text())), 0))
        alive = process.is_alive()
        process.kill()
        process.join()
    finished(start(train, work / "digits.gz", folder))
    continued = (folder / "continued").read_text() if (folder / "continued").exists() else "the beginning"
    equal = "yes" if (folder / "weights").read_text() == expected else "NO"
    print(f"killed after {moment:.1f} s, continued from {continued}, equal: {equal}", flush=True)
    return f"{moment:.2f}", continued, equal


def start(target, *arguments) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments)
    process.start()
    return process


def finished(process: multiprocessing.Process) -> None:
    process.join()
    if process.exitcode:
        sys.exit(f"an attempt failed with {process.exitcode}")


def write_digits(file: Path) -> None:
    import tensorflow as tf
    from sklearn.datasets import load_digits

    digits = load_digits()
    with tf.io.TFRecordWriter(str(file), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for pixels, digit in zip(digits.images, digits.target, strict=True):
            example = tf.train.Example()
            pixel_bytes = (pixels * 255 / 16).astype("uint8").tobytes()
            example.features.feature[features.PIXELS].bytes_list.value.append(pixel_bytes)
            example.features.feature[features.CLASS_INDEX].int64_list.value.append(int(digit))
            writer.write(example.SerializeToString())


def train(file: Path, folder: Path) -> None:
    """Leaves behind when the first attempt began, where this one continued, and the digest of the final weights."""
    import logging

    class Continued(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("continuing after "):
                (folder / "continued").write_text(record.getMessage().removeprefix("continuing after "))

    logger = logging.getLogger("tfx_vision")
    logger.setLevel(logging.INFO)
    logger.addHandler(Continued())
    logger.propagate = False
    split = data.open_split([str(file)], SETTINGS.transform, 10)
    trainer.make_reproducible(SETTINGS.trainer.seed)
    model = compilation.compiled_model(SETTINGS, split)
    folder.mkdir(exist_ok=True)
    if not (folder / "began").exists():
        (folder / "began.part").write_text(json.dumps(time.time()))
        (folder / "began.part").rename(folder / "began")
    history = fit(model, SETTINGS, split, split, folder=str(folder / "checkpoints"), log_dir=str(folder)).history
    digest = hashlib.sha256(json.dumps(history).encode())
    for weights in [*model.get_weights(), *(variable.numpy() for variable in model.optimizer.variables)]:
        digest.update(weights.tobytes())
    (folder / "weights").write_text(digest.hexdigest())


def table(rows: list[tuple[str, str, str]], length: float) -> str:
    cores = os.cpu_count()
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    return "\n".join(
        [
            f"# A training killed by `kill -9` {len(rows)} times",
            "",
            f"{date.today()}, {cores} cores, {system}, Python {platform.python_version()}; `benchmarks/kills.py`.",
            f"Left alone it takes {length:.1f} s. Equal means: history, weights and optimizer, bit by bit.",
            "",
            "| killed after (s) | continued from | equal to the one left alone |",
            "|---:|---|---|",
            *(f"| {' | '.join(row)} |" for row in rows),
            "",
        ]
    )


if __name__ == "__main__":
    main()
