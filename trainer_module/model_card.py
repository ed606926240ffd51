"""What stands beside the network in the saved model's `assets.extra`: settings, provenance and a model card.

TensorFlow Serving leaves that folder alone. Nothing in it depends on the time or the machine, so the same training
gives the same files.
"""

import json
import os
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from trainer_module import data
from trainer_module.data import Split
from trainer_module.diagnostics import Evidence, diagnose
from trainer_module.settings import TrainingSettings

EXTRA, CONFIGURATION, PROVENANCE, CARD = "assets.extra", "configuration.json", "provenance.json", "model_card.md"
PACKAGES = ("tensorflow", "tf-keras", "tensorflow-transform", "numpy")
LONG = 50
"""More classes than these are not listed one by one."""


def write_extras(
    directory: str,
    settings: TrainingSettings,
    train: Split,
    evaluation: Split,
    classes: Sequence[str],
    outcome: Evidence,
) -> None:
    """Adds `configuration.json`, `provenance.json` and `model_card.md` to a saved model."""
    facts = provenance(train, evaluation, classes)
    contents = {
        CONFIGURATION: json.dumps(settings.to_json(), indent=1),
        PROVENANCE: json.dumps(facts, indent=1),
        CARD: model_card(settings, train, evaluation, classes, outcome, facts),
    }
    tf.io.gfile.makedirs(os.path.join(directory, EXTRA))
    for name, text in contents.items():
        with tf.io.gfile.GFile(os.path.join(directory, EXTRA, name), "w") as file:
            file.write(text)


def provenance(train: Split, evaluation: Split, classes: Sequence[str]) -> dict[str, Any]:
    """Where a model comes from: code, data (fingerprints), classes and versions."""
    return {
        "commit": commit(Path(__file__).parent),
        "data": {"train": data.fingerprint(train), "eval": data.fingerprint(evaluation)},
        "classes": list(classes),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def commit(folder: Path) -> str | None:
    """The git commit of a folder, "-modified" behind it when files differ from it; None without git."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()

    try:
        modified = git("status", "--porcelain", "--untracked-files=no", "--", ".")
        return git("rev-parse", "HEAD") + ("-modified" if modified else "")
    except (OSError, subprocess.SubprocessError):
        return None


def model_card(
    settings: TrainingSettings,
    train: Split,
    evaluation: Split,
    classes: Sequence[str],
    outcome: Evidence,
    facts: dict[str, Any],
) -> str:
    """A page for people who use the model (after Mitchell et al., "Model Cards for Model Reporting", 2019)."""
    history, size = outcome.history, settings.transform
    best = int(np.argmin(history["val_loss"]))
    counts = np.bincount(train.labels[train.labels >= 0], minlength=len(classes))
    lines = [
        f"# {settings.model.architecture}, {len(classes)} classes",
        "",
        "Takes encoded images (JPEG, PNG, GIF, BMP) of any size and gives each one of the classes below, with "
        f"probabilities. Inside, an image has {size.height} × {size.width} pixels and {size.channels} "
        f"channel{'s' if size.channels > 1 else ''}.",
        "",
        "## Limits",
        "",
        "- It answers with one of its classes whatever an image shows.",
        "- It was trained on the images below; on others, such as those of another camera, it may do worse.",
        "- The figures below are of the eval split, which chose the epoch. Those of the test split, by class and "
        "against the model that was served, are in the run's report.",
        "",
        "## Data",
        "",
        f"{train.size:,} images for training, {evaluation.size:,} for evaluation while training.",
        f"SHA-256 of the training examples: {facts['data']['train']}",
        "",
    ]
    if len(classes) <= LONG:
        lines += ["| class | training images |", "|---|---:|"]
        lines += [f"| {name.replace('|', ' ')} | {count:,} |" for name, count in zip(classes, counts, strict=True)]
    else:
        lines.append(f"{counts.min():,} to {counts.max():,} training images of each of {len(classes)} classes.")
    lines += ["", "## Training", "", f"{outcome.epochs} epochs of at most {settings.trainer.epochs}.", ""]
    lines += ["| | training | evaluation |", "|---|---:|---:|"]
    for name in ("loss", "accuracy"):
        lines.append(f"| {name} in epoch {best + 1} | {history[name][best]:.4f} | {history[f'val_{name}'][best]:.4f} |")
    lines.append("")
    for finding in diagnose(outcome):
        lines.append(f"- {finding.rule.capitalize()} since epoch {finding.epoch}: {finding.evidence}")
    lines += ["", "## Provenance", "", f"- Code: {facts['commit'] or 'not under version control'}"]
    lines += [f"- {name} {version}" for name, version in facts["versions"].items()]
    lines.append(f"- Every setting: {CONFIGURATION}")
    return "\n".join(lines) + "\n"
