"""Feeding: transformed examples → batches of pixels and one-hot labels.

Two feeders (handbook, part 9, "Feeding"): `memory` keeps the unpacked pixels of the split in one array and
shuffles an index to it, `disk` reads the records anew each epoch and shuffles within a buffer.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from transform import features, ops
from transform.config import TransformConfig

log = logging.getLogger("tfx_vision.feeding")

SHUFFLE_BUFFER = 20_000
"""Images that the disk feeder shuffles among."""
MEMORY_SHARE = 0.25
"""The share of the free memory that the memory feeder may take when it is chosen automatically."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split on disk."""

    files: tuple[str, ...]
    """TFRecords, gzipped."""
    size: int
    """Images in it."""
    transform: TransformConfig
    """The shape of its pixels."""
    classes: int
    """Number of classes."""

    @property
    def bytes_in_memory(self) -> int:
        """Bytes of its pixels, unpacked."""
        return self.size * self.transform.height * self.transform.width * self.transform.channels


def open_split(patterns: Sequence[str], transform: TransformConfig, classes: int) -> Split:
    """Finds the files of a split and counts its images.

    Raises:
      ValueError: there are none.
    """
    files = tuple(sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern)))
    counted = tf.data.TFRecordDataset(list(files), compression_type="GZIP", num_parallel_reads=len(files) or None)
    size = int(counted.batch(1024).reduce(np.int64(0), lambda total, batch: total + tf.size(batch, tf.int64)))
    if not size:
        raise ValueError(f"no transformed examples in {', '.join(patterns)}")
    return Split(files=files, size=size, transform=transform, classes=classes)


def feed(split: Split, batch_size: int, *, feeder: str = "auto", seed: int | None = None) -> tf.data.Dataset:
    """Batches of one split.

    Args:
      split: what to read.
      batch_size: images per batch; the last one may be smaller when evaluating.
      feeder: "memory", "disk", or "auto" for memory while the pixels take less than a quarter of what is free.
      seed: shuffle anew each epoch, the same way for the same seed, and repeat without end; None reads once in order.

    Returns:
      (uint8 [batch, height, width, channels], float32 [batch, classes]) pairs.
    """
    if feeder == "auto":
        feeder = "memory" if split.bytes_in_memory < MEMORY_SHARE * free_memory() else "disk"
    log.info("%s feeder: %s images, %.0f MB of pixels", feeder, f"{split.size:,}", split.bytes_in_memory / 1e6)
    batches = _from_memory(split, batch_size, seed) if feeder == "memory" else _from_disk(split, batch_size, seed)
    return batches.prefetch(tf.data.AUTOTUNE)


def free_memory() -> int:
    """Bytes of memory that can be taken without swapping."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _from_memory(split: Split, batch_size: int, seed: int | None) -> tf.data.Dataset:
    with tf.device("CPU"):
        read = list(_parsed(_records(split), split, 1024))
        pixels, labels = (tf.concat(part, 0) for part in zip(*read, strict=True))
    order = tf.data.Dataset.range(split.size)
    if seed is not None:
        order = order.shuffle(split.size, seed=seed).repeat()
    return order.batch(batch_size).map(
        lambda index: (tf.gather(pixels, index), tf.gather(labels, index)), num_parallel_calls=tf.data.AUTOTUNE
    )


def _from_disk(split: Split, batch_size: int, seed: int | None) -> tf.data.Dataset:
    records = _records(split)
    if seed is not None:
        records = records.shuffle(min(split.size, SHUFFLE_BUFFER), seed=seed).repeat()
    return _parsed(records, split, batch_size)


def _records(split: Split) -> tf.data.Dataset:
    return tf.data.TFRecordDataset(list(split.files), compression_type="GZIP", num_parallel_reads=len(split.files))


def _parsed(records: tf.data.Dataset, split: Split, batch_size: int) -> tf.data.Dataset:
    spec = {
        features.PIXELS: tf.io.FixedLenFeature([], tf.string),
        features.CLASS_INDEX: tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parsed = tf.io.parse_example(batch, spec)
        labels = tf.one_hot(parsed[features.CLASS_INDEX], split.classes)
        return ops.unpack(parsed[features.PIXELS], split.transform), labels

    return records.batch(batch_size).map(parse, num_parallel_calls=tf.data.AUTOTUNE)


def channel_moments(split: Split) -> tuple[list[float], list[float]]:
    """Mean and deviation per channel that Transform computed over the training split."""
    spec = {
        name: tf.io.FixedLenFeature([split.transform.channels], tf.float32)
        for name in (features.CHANNEL_MEAN, features.CHANNEL_DEVIATION)
    }
    parsed = tf.io.parse_single_example(next(iter(_records(split))), spec)
    mean, deviation = (parsed[name].numpy().tolist() for name in spec)
    return mean, deviation
