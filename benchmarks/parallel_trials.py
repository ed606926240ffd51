"""A search with its trials one after the other and side by side, on scikit-learn's digits.

Usage: parallel_trials.py

Six trials of a small network, of 4 and of 40 epochs, in one process and in two. A second process has to import
TensorFlow and trace its own functions before it trains: it pays only when trials are long. Writes parallel_trials.md
beside this file.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from training_data import machine, write_split

from trainer_module import trials, tuner
from trainer_module.config import TrainerConfig
from trainer_module.data import Split
from trainer_module.model_config import ModelConfig
from trainer_module.settings import TrainingSettings
from trainer_module.tuner_config import TunerConfig

TRIALS, EPOCHS, PROCESSES = 6, (4, 40), (1, 2)
SEARCH = {"trainer": {"learning_rate": [0.01, 0.003, 0.001]}, "model": {"dropout": [0.1, 0.25]}}


def main() -> None:
    digits = load_digits()
    pixels, labels = (digits.images[..., None] * 15).astype(np.uint8), digits.target
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        train = write_split(work / "train.gz", pixels[:1300], labels[:1300], 10)
        evaluation = write_split(work / "eval.gz", pixels[1300:], labels[1300:], 10)
        searched(train, evaluation, 1, 1, work / "warm-up")
        rows = []
        for epochs in EPOCHS:
            seconds = [searched(train, evaluation, epochs, count, work / f"{epochs}-{count}") for count in PROCESSES]
            rows.append(f"| {epochs} | {seconds[0]:.1f} | {seconds[1]:.1f} | {seconds[0] / seconds[1]:.2f} |")
    lines = [
        "# Trials side by side",
        "",
        f"{TRIALS} trials of a ConvNet of two convolutions on 1,300 digits of 8 × 8, batches of 32. "
        f"Machine: {machine()}.",
        "",
        "| epochs of a trial | in one process (s) | in two (s) | times as fast |",
        "|---:|---:|---:|---:|",
        *rows,
        "",
    ]
    (Path(__file__).parent / "parallel_trials.md").write_text("\n".join(lines))
    print("\n".join(lines))


def searched(train: Split, evaluation: Split, epochs: int, processes: int, folder: Path) -> float:
    """Seconds of a whole search."""
    settings = TrainingSettings(
        transform=train.transform,
        model=ModelConfig(filters=[16, 32], hidden_units=32),
        trainer=TrainerConfig(batch_size=32),
    )
    config = TunerConfig(trials=TRIALS, epochs=epochs, parallel_trials=processes, search=SEARCH)
    journal = trials.Journal(str(folder / "journal"), {})
    searching = tuner.ImageTuner(config, settings, journal, directory=str(folder / "working"))
    began = time.perf_counter()
    searching.search(train=train, evaluation=evaluation)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
