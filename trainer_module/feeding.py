"""Feeding: three ways to have the pixels that a step takes (handbook, part 9, "Feeding").

`memory` holds those of the whole split, `disk` reads each image from a file when its turn comes, `hybrid` holds a
segment of the split at a time. All give the same batches; which images a step takes is `order`'s business.
"""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from trainer_module import order
from trainer_module.config import TrainerConfig
from trainer_module.data import Split, untuned
from trainer_module.image_file import Fetch, open_file, unpack
from trainer_module.memory import free_for_files, free_memory
from trainer_module.segments import Segments

log = logging.getLogger("tfx_vision.feeding")

MEMORY_SHARE = 0.25
"""The share of the free memory that pixels may take."""
CACHED_SHARE = 0.5
"""The share of the memory free for files below which the system keeps the unpacked file there, as good as always."""
PREFETCHED = 2
"""Batches that are ready ahead of their step."""

Augment = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, ...]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a split is fed."""

    feeder: str
    """memory, disk or hybrid."""
    segments: int = 1
    """Parts that are trained on one after the other."""
    segment_epochs: int = 1
    """Passes over each before the next."""
    folder: str | None = None
    """For the file of disk and hybrid; None is the system's for temporary files."""

    @property
    def rounds(self) -> dict[str, int]:
        """What the order of the images depends on."""
        return {"segments": self.segments, "segment_epochs": self.segment_epochs}


def make_plan(
    split: Split, config: TrainerConfig, *, shuffled: bool = True, segments: int = 0, folder: str | None = None
) -> Plan:
    """Chooses the feeder and the number of segments, and says why.

    Args:
      split: what is to be fed.
      config: `feeder`, `segments` and `segment_epochs`.
      shuffled: False when the images are fed as they come: then there are no segments.
      segments: of the same training before it was interrupted; the batches depend on it. 0 when it begins.
      folder: for the file.
    """
    budget = max(int(MEMORY_SHARE * free_memory()), 1)
    feeder = config.feeder
    if feeder == "auto":
        # A file that is in memory anyway gains nothing by copies of its segments: see benchmarks/feeding.md.
        cached = split.bytes_on_disk <= CACHED_SHARE * free_for_files()
        feeder = "memory" if split.bytes_in_memory <= budget else "disk" if cached else "hybrid"
    if not shuffled:
        feeder, segments = "disk" if feeder == "hybrid" else feeder, 1
    # At the border of two segments both are in memory.
    fitting = -(-2 * split.bytes_in_memory // budget) if feeder == "hybrid" else 1
    segments = segments or config.segments or min(fitting, split.size)
    log.info(
        "%s feeder%s: %s images take %.0f MB, and %.0f MB may be used%s%s",
        feeder,
        " (auto)" if config.feeder == "auto" else "",
        f"{split.size:,}",
        split.bytes_in_memory / 1e6,
        budget / 1e6,
        "; the system keeps the file in memory" if config.feeder == "auto" and feeder == "disk" else "",
        f"; {segments} segments, {config.segment_epochs} epochs each" if segments > 1 else "",
    )
    return Plan(feeder=feeder, segments=segments, segment_epochs=config.segment_epochs, folder=folder)


def feed(
    split: Split,
    batch_size: int,
    *,
    feeder: str = "auto",
    seed: int | None = None,
    stratified: bool = False,
    first_step: int = 0,
    last_step: int | None = None,
    augment: Augment | None = None,
    plan: Plan | None = None,
    part: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Batches of one split.

    Args:
      split: what to read.
      batch_size: images per batch; the last one may be smaller when evaluating.
      feeder: "memory", "disk", "hybrid" or "auto", where there is no plan.
      seed: shuffle anew each pass, the same way for the same seed, and repeat; None reads once in order.
      stratified: give each batch the classes in the proportions of the split, as far as whole images allow.
      first_step: the step to begin at.
      last_step: the step to end before; with a seed, None repeats without end. A feed without an end prepares batches
        as long as its iterator lives, and a process that ends meanwhile waits for it.
      augment: changes a batch: (step int64 scalar, pixels, labels) → (pixels, labels), or with weights of the images.
        What it draws should depend on the step and a seed alone, or a resumed training differs from one that never
        stopped.
      plan: how to read it.
      part: (index, count) of the worker: its equal share of each batch.

    Returns:
      (uint8 [batch, height, width, channels], float32 [batch, classes]) pairs.
    """
    if plan is None:
        plan = make_plan(split, TrainerConfig(feeder=feeder), shuffled=seed is not None)  # type: ignore[arg-type]
    if seed is None:
        images, last = order.sequence(split.size, batch_size), -(-split.size // batch_size)
    else:
        images = order.shuffled(split.labels, batch_size, seed, stratified=stratified, **plan.rounds)
        last = tf.int64.max if last_step is None else last_step
    fetch = open_pixels(split, plan, seed or 0)
    if isinstance(fetch, Segments):
        images = fetch.read_ahead(images, steps=split.size * plan.segment_epochs // plan.segments // batch_size // 2)
    steps = tf.data.Dataset.range(first_step, last)
    return batches(steps, images, fetch, split, augment, part)


def steps_per_epoch(split: Split, config: TrainerConfig) -> int:
    """Batches in an epoch: as configured, or those that make one pass over the split, at least 1."""
    return config.steps_per_epoch or max(split.size // config.batch_size, 1)


def batches(
    steps: tf.data.Dataset,
    images: order.Order,
    fetch: Fetch,
    split: Split,
    augment: Augment | None,
    part: tuple[int, int] = (0, 1),
) -> Any:
    """Numbers of steps → batches."""
    index, count = part

    def load(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        chosen = np.array_split(images(int(step)), count)[index]
        return fetch(chosen), split.labels[chosen]

    def batch(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels, labels = tf.numpy_function(load, [step], (tf.uint8, tf.int64), stateful=False)
        pixels.set_shape([None, *split.shape])
        labels.set_shape([None])
        one_hot = tf.one_hot(labels, split.classes)
        # Workers draw different changes for their parts of the same step.
        return augment(step * count + index, pixels, one_hot) if augment else (pixels, one_hot)

    return untuned(steps).map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(PREFETCHED)


def open_pixels(split: Split, plan: Plan, seed: int = 0) -> Fetch:
    """Image numbers int64 [batch] → uint8 [batch, height, width, channels].

    `seed` is the one that the order of the images has.

    Raises:
      ValueError: there is no room for the file that is read.
    """
    everything = np.arange(split.size)
    if plan.feeder == "memory":
        pixels = np.empty((split.size, *split.shape), np.uint8)
        unpack(split, pixels, everything)
        return functools.partial(np.take, pixels, axis=0)
    if plan.feeder == "hybrid" and plan.segments > 1:
        members = order.split_up(split.labels, plan.segments, seed)
        return Segments(open_file(split, plan.folder, np.concatenate(members)), members)
    return open_file(split, plan.folder, everything)
