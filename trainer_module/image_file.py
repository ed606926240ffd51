"""The nameless file that feeders read images from: their pixels, or the encoded images where Transform wrote those."""

import os
import shutil
import tempfile
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import tensorflow as tf

from trainer_module import data
from trainer_module.data import Split

DECODED = 256
"""Images that are decoded in one go."""

Fetch = Callable[[np.ndarray], np.ndarray]
"""Image numbers int64 [batch] → uint8 [batch, height, width, channels]."""


def open_file(split: Split, folder: str | None, sequence: np.ndarray) -> Fetch:
    """Writes the file, of which nothing stays however the process ends.

    Args:
      split: the images.
      folder: where to; None is the system's for temporary files.
      sequence: int64 [images], the order in which they will be read: the file has their pixels in it.

    Raises:
      ValueError: there is no room for it.
    """
    if split.transform.materialize == "encoded":
        return _encoded(split, folder)
    with _nameless(split, folder) as file:
        pixels = np.memmap(file, np.uint8, "w+", shape=(split.size, *split.shape))
    rows = np.empty(split.size, np.int64)
    rows[sequence] = np.arange(split.size)
    unpack(split, pixels, rows)
    return lambda images: np.take(pixels, rows[images], axis=0)


def unpack(split: Split, pixels: np.ndarray, rows: np.ndarray) -> None:
    """Puts the pixels of each image into its row."""
    done = 0
    for batch in data.read(split):
        pixels[rows[done : done + len(batch)]] = batch
        done += len(batch)


def _encoded(split: Split, folder: str | None) -> Fetch:
    """Decodes images each time they are read."""
    ends = [0]
    with _nameless(split, folder) as file:
        for batch in data.read_encoded(split):
            for image in batch:
                file.write(image)
                ends.append(ends[-1] + len(image))
        file.flush()
        images_end_to_end = np.memmap(file, np.uint8, "r")

    def fetch(images: np.ndarray) -> np.ndarray:
        pixels = np.empty((len(images), *split.shape), np.uint8)
        for start in range(0, len(images), DECODED):
            some = [images_end_to_end[ends[number] : ends[number + 1]].tobytes() for number in images[start:][:DECODED]]
            pixels[start : start + len(some)] = data.pixels(tf.constant(some), split.transform)
        return pixels

    return fetch


def _nameless(split: Split, folder: str | None) -> BinaryIO:
    folder = folder if folder and os.path.isdir(folder) else tempfile.gettempdir()
    needed, free = split.bytes_on_disk, shutil.disk_usage(folder).free
    if needed > free:
        raise ValueError(
            f"the images to train on take {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB; make room, or "
            "set trainer.feeder to memory"
        )
    return tempfile.TemporaryFile(dir=folder)  # type: ignore[return-value]
