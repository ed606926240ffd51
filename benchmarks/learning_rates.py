"""The handbook's ladder of learning rates on Fashion-MNIST, and what the diagnostics say of each.

Usage: learning_rates.py [IMAGES] [EPOCHS]   (defaults 3000 and 5)

The handbook's ConvNet (part 9: two convolutions, a pooling, 128 hidden units, nothing against overfitting) is trained
by Adam for a few epochs at each of 0.1, 0.01, 0.001, 0.0001 and 0.00001, as part 10 does by hand: "the highest initial
learning rate that sustains a reduction in loss and increase in accuracy". Beside it stand the answer of the learning
rate sweep, and the same network at the chosen rate for three times as long with and without dropout. A second ladder is
of other images with another seed: no threshold of the diagnostics was set on it. Writes learning_rates.md beside this
file.
"""

import math
import sys
import tempfile
from pathlib import Path

import numpy as np
from training_data import machine, write_split

from pipeline.datasets import cached_fashion_mnist, read_idx
from trainer_module.compilation import compiled_model, make_reproducible
from trainer_module.config import TrainerConfig
from trainer_module.data import Split
from trainer_module.diagnostics import Evidence, diagnose
from trainer_module.fitting import fit
from trainer_module.model_config import ModelConfig
from trainer_module.settings import TrainingSettings
from trainer_module.sweep import range_test, suggested_rate

LADDER = [0.1, 0.01, 0.001, 0.0001, 0.00001]


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        train, evaluation = fashion_mnist(work / "first", images, 0)
        ladder = {rate: trained(train, evaluation, rate, epochs, 0.0, work / f"{rate:f}") for rate in LADDER}
        others = fashion_mnist(work / "others", images, train.size + evaluation.size)
        second = {rate: trained(*others, rate, epochs, 0.0, work / f"others {rate:f}", seed=2) for rate in LADDER}
        chosen = highest_that_learns(ladder)
        sweep = suggested_rate(range_test(settings(train, LADDER[0], 1, 0.0), train, steps=150))
        longer = {
            f"dropout {dropout:g}": trained(train, evaluation, chosen, 3 * epochs, dropout, work / f"dropout{dropout}")
            for dropout in (0.0, 0.5)
        }
    text = page(ladder, second, chosen, sweep, longer, train, evaluation)
    (Path(__file__).parent / "learning_rates.md").write_text(text)
    print(text)


def fashion_mnist(work: Path, images: int, start: int) -> tuple[Split, Split]:
    """Images of the training set from one on, and a sixth as many after them."""
    work.mkdir()
    folder = cached_fashion_mnist()
    shape, values = read_idx(folder / "train-images-idx3-ubyte.gz", dimensions=3)
    _, labels = read_idx(folder / "train-labels-idx1-ubyte.gz", dimensions=1)
    pixels, labels = np.frombuffer(values, np.uint8).reshape(*shape, 1), np.frombuffer(labels, np.uint8)
    middle = start + images
    train, evaluation = (
        write_split(work / name, pixels[part], labels[part], 10)
        for name, part in (("train.gz", slice(start, middle)), ("eval.gz", slice(middle, middle + images // 6)))
    )
    return train, evaluation


def settings(train: Split, rate: float, epochs: int, dropout: float, seed: int = 1) -> TrainingSettings:
    """The handbook's ConvNet under Adam at a constant rate."""
    return TrainingSettings(
        transform=train.transform,
        model=ModelConfig(filters=[[32, 64]], batch_normalization=False, dropout=dropout, hidden_units=128),
        trainer=TrainerConfig(
            epochs=epochs, batch_size=32, learning_rate=rate, schedule="constant", warmup=0, patience=0, seed=seed
        ),
    )


def trained(
    train: Split, evaluation: Split, rate: float, epochs: int, dropout: float, folder: Path, seed: int = 1
) -> Evidence:
    """What a training came to."""
    chosen = settings(train, rate, epochs, dropout, seed)
    make_reproducible(seed)
    model = compiled_model(chosen, train)
    outcome = fit(model, chosen, train, evaluation, folder=str(folder / "checkpoints"), log_dir=str(folder))
    print(f"{rate:g}, dropout {dropout:g}: {outcome.history['val_accuracy']}", flush=True)
    return outcome


def highest_that_learns(ladder: dict[float, Evidence]) -> float:
    """The handbook's choice by hand: the bottom of the U that the lowest validation losses make over the rates."""
    return min(ladder, key=lambda rate: min(ladder[rate].history["val_loss"]))


def page(
    ladder: dict[float, Evidence],
    second: dict[float, Evidence],
    chosen: float,
    sweep: float,
    longer: dict[str, Evidence],
    train: Split,
    evaluation: Split,
) -> str:
    """The tables."""
    lines = [
        "# The handbook's ladder of learning rates",
        "",
        f"The handbook's ConvNet under Adam on {train.size:,} images of Fashion-MNIST, watched on {evaluation.size:,} "
        f"others. Machine: {machine()}.",
        "",
        "| rate | loss, first → last | eval loss, best … last | eval accuracy, best … last | diagnostics |",
        "|---:|---:|---:|---:|---|",
        *(row(f"{rate:g}", seen) for rate, seen in ladder.items()),
        "",
        f"By hand, as the handbook does: {chosen:g}. The learning rate sweep of 150 steps says {sweep:.2g}"
        f"{', the same order of magnitude' if round(math.log10(sweep / chosen)) == 0 else ''}.",
        "",
        f"At {chosen:g} for longer:",
        "",
        "| | loss, first → last | eval loss, best … last | eval accuracy, best … last | diagnostics |",
        "|---|---:|---:|---:|---|",
        *(row(name, seen) for name, seen in longer.items()),
        "",
        "The best evaluation loss is where the network fits best. Overfitting is said to begin when the loss stays a "
        "tenth above it for good while the training loss falls: in the handbook's own CIFAR-10 training, which was "
        "best in epoch 5, that is its epoch 7.",
        "",
        "The ladder again, on the images after those and with another seed. The threshold of `underfitting` was set on "
        "a run of the first one, and nothing on this:",
        "",
        "| rate | loss, first → last | eval loss, best … last | eval accuracy, best … last | diagnostics |",
        "|---:|---:|---:|---:|---|",
        *(row(f"{rate:g}", seen) for rate, seen in second.items()),
        "",
        f"The lowest evaluation loss is at {highest_that_learns(second):g} here.",
    ]
    return "\n".join([*lines, ""])


def row(name: str, seen: Evidence) -> str:
    """A training as a line of the table."""
    history = seen.history
    found = "; ".join(f"{one.rule} since epoch {one.epoch}: {one.evidence}" for one in diagnose(seen)) or "nothing"
    loss = f"{history['loss'][0]:.3f} → {history['loss'][-1]:.3f}"
    eval_loss = f"{min(history['val_loss']):.3f} … {history['val_loss'][-1]:.3f}"
    accuracy = f"{max(history['val_accuracy']):.3f} … {history['val_accuracy'][-1]:.3f}"
    return f"| {name} | {loss} | {eval_loss} | {accuracy} | {found} |"


if __name__ == "__main__":
    main()
