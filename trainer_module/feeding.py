"""Feeding: which images each step takes, and three ways to have their pixels (handbook, part 9, "Feeding").

The order is a function of the seed and the number of the step alone. So every feeder gives the same batches, and
training continues at any step as if it had never stopped.
"""

import functools
import logging
import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from trainer_module import data
from trainer_module.config import TrainerConfig
from trainer_module.data import Split

log = logging.getLogger("tfx_vision.feeding")

MEMORY_SHARE = 0.25
"""The share of the free memory that pixels may take when the feeder is chosen automatically."""

Order = Callable[[int], np.ndarray]
Fetch = Callable[[np.ndarray], np.ndarray]
Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]]


def feed(
    split: Split,
    batch_size: int,
    *,
    feeder: str = "auto",
    seed: int | None = None,
    stratified: bool = False,
    first_step: int = 0,
    augment: Augment | None = None,
) -> tf.data.Dataset:
    """Batches of one split.

    Args:
      split: what to read.
      batch_size: images per batch; the last one may be smaller when evaluating.
      feeder: "memory", "disk", or "auto" for memory while the pixels take less than a quarter of what is free.
      seed: shuffle anew each pass, the same way for the same seed, and repeat without end; None reads once in order.
      stratified: give each batch the classes in the proportions of the split, as far as whole images allow.
      first_step: the step to begin at.
      augment: changes a batch: (step int64 scalar, pixels, labels) → (pixels, labels), or with weights of
        the images. What it draws should depend
        on the step and a seed alone, or a resumed training differs from one that never stopped.

    Returns:
      (uint8 [batch, height, width, channels], float32 [batch, classes]) pairs.
    """
    fetch = open_pixels(split, feeder)
    order = training_order(split, batch_size, seed, stratified) if seed is not None else sequence(split, batch_size)
    steps = tf.data.Dataset.range(first_step, tf.int64.max if seed is not None else -(-split.size // batch_size))
    return batches(steps, order, fetch, split, augment).prefetch(tf.data.AUTOTUNE)


def steps_per_epoch(split: Split, config: TrainerConfig) -> int:
    """Batches in an epoch: as configured, or those that make one pass over the split, at least 1."""
    return config.steps_per_epoch or max(split.size // config.batch_size, 1)


def batches(steps: tf.data.Dataset, order: Order, fetch: Fetch, split: Split, augment: Augment | None) -> Any:
    """Numbers of steps → batches."""

    def load(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chosen = order(int(step))
        return fetch(chosen), split.labels[chosen]

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels, labels = tf.numpy_function(load, [step], (tf.uint8, tf.int64), stateful=False)
        pixels.set_shape([None, *split.shape])
        labels.set_shape([None])
        one_hot = tf.one_hot(labels, split.classes)
        return augment(step, pixels, one_hot) if augment else (pixels, one_hot)

    return steps.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def training_order(split: Split, batch_size: int, seed: int, stratified: bool = False) -> Order:
    """The images of each training step: int → int64 [batch_size]; every pass is a permutation of its own."""

    @functools.lru_cache(maxsize=2)
    def one_pass(number: int) -> np.ndarray:
        random = np.random.default_rng([seed, number])
        return stratify(split.labels, random) if stratified else random.permutation(split.size)

    def images(step: int) -> np.ndarray:
        start, stop = step * batch_size, (step + 1) * batch_size
        passes = range(start // split.size, (stop - 1) // split.size + 1)
        stream = np.concatenate([one_pass(number) for number in passes])
        return stream[start - passes[0] * split.size : stop - passes[0] * split.size]

    return images


def stratify(labels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A permutation that spreads every class evenly: int64 [images] → int64 [images]."""
    shuffled = random.permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[shuffled] == label)
        place[members] = (np.arange(len(members)) + random.random()) / len(members)
    return shuffled[np.argsort(place, kind="stable")]


def sequence(split: Split, batch_size: int) -> Order:
    """The images of each evaluation step, in the order of the records."""
    return lambda step: np.arange(step * batch_size, min((step + 1) * batch_size, split.size))


def open_pixels(split: Split, feeder: str) -> Fetch:
    """Image numbers int64 [batch] → uint8 [batch, height, width, channels], from memory or from disk."""
    if feeder == "auto":
        feeder = "memory" if split.bytes_in_memory < MEMORY_SHARE * free_memory() else "disk"
    log.info("%s feeder: %s images, %.0f MB of pixels", feeder, f"{split.size:,}", split.bytes_in_memory / 1e6)
    pixels = np.empty((split.size, *split.shape), np.uint8) if feeder == "memory" else on_disk(split)
    done = 0
    for batch in data.read(split):
        pixels[done : done + len(batch)] = batch
        done += len(batch)
    return functools.partial(np.take, pixels, axis=0)


def on_disk(split: Split) -> np.ndarray:
    """An array in a nameless file: nothing of it stays, however the process ends."""
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.uint8, "w+", shape=(split.size, *split.shape))


def free_memory() -> int:
    """Bytes of memory that can be taken without swapping."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
