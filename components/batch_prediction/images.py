"""Images of a folder, and what a model says of them."""

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
"""Files that are taken for images; what the model cannot read of them is said in the answer."""
BATCH = 64
"""Images in memory at a time."""


class NoImagesError(ValueError):
    """A folder without images; the message is a sentence."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model says of one image."""

    label: str
    """The most probable class; "" where there is none."""
    probability: float
    probabilities: tuple[float, ...]
    """In the order of the model's classes; () where there is none."""
    status: str
    """Why there is none, else ""."""


def list_images(folder: str | Path) -> list[str]:
    """Paths of the images in a folder and the folders in it, relative to it, in order.

    Raises:
      NoImagesError: there are none.
    """
    found = []
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [
            os.path.relpath(os.path.join(parent, name), folder)
            for name in names
            if name.lower().endswith(SUFFIXES) and not name.startswith(".")
        ]
    if not found:
        raise NoImagesError(f"{folder} holds no images; they end in {', '.join(SUFFIXES)}")
    return sorted(found)


class Classifier:
    """A saved model, asked with files."""

    def __init__(self, model_folder: str):
        self._model = tf.saved_model.load(model_folder)
        self._predict = self._model.signatures["serving_default"]
        self.classes: list[str] = []

    def classify(self, folder: str, paths: Sequence[str]) -> Iterator[Answer]:
        """An answer for each file of a folder, in order."""
        for start in range(0, len(paths), BATCH):
            some = [read(os.path.join(folder, path)) for path in paths[start : start + BATCH]]
            answers = iter(self._ask([content for content, _ in some if content is not None]))
            for content, problem in some:
                yield failed(problem) if content is None else next(answers)

    def _ask(self, images: Sequence[bytes]) -> list[Answer]:
        """One request, or one per image where an image spoils it for the others."""
        if not images:
            return []
        try:
            outputs = {name: value.numpy() for name, value in self._predict(tf.constant(images)).items()}
        except tf.errors.OpError as error:
            if len(images) > 1:
                return [answer for image in images for answer in self._ask([image])]
            return [failed(error.message.strip().splitlines()[-1].split("[[")[0].strip() or type(error).__name__)]
        self.classes = [name.decode() for name in outputs["classes"][0]]
        statuses = outputs.get("status", [b""] * len(images))
        return [
            failed(status.decode())
            if status
            else Answer(label=label.decode(), probability=float(top), probabilities=tuple(row.tolist()), status="")
            for label, top, row, status in zip(
                outputs["label"], outputs["probability"], outputs["probabilities"], statuses, strict=True
            )
        ]


@functools.lru_cache(maxsize=1)
def load_classifier(model_folder: str) -> Classifier:
    """A model, once per process."""
    return Classifier(model_folder)


def read(path: str) -> tuple[bytes | None, str]:
    """A file's bytes, or None and why not."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        return None, error.strerror or str(error)
    return (content, "") if content else (None, "the file is empty")


def failed(status: str) -> Answer:
    """No answer."""
    return Answer(label="", probability=0.0, probabilities=(), status=status)
