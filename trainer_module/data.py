"""The transformed examples on disk: what is in a split, and its pixels batch by batch."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from transform import features, ops
from transform.config import TransformConfig

GZIP_TRAILER = 8
"""Bytes at the end of a gzip file: CRC-32 and length of what it holds (RFC 1952)."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split on disk."""

    files: tuple[str, ...]
    """TFRecords, gzipped."""
    labels: np.ndarray = field(repr=False, compare=False)
    """int64 [size], the class index of each image, in the order of the records."""
    transform: TransformConfig
    """The shape of its pixels."""
    classes: int
    """Number of classes."""

    @property
    def size(self) -> int:
        """Images in it."""
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        return self.transform.height, self.transform.width, self.transform.channels

    @property
    def bytes_in_memory(self) -> int:
        """Bytes of its pixels, unpacked."""
        return self.size * int(np.prod(self.shape))


def open_split(patterns: Sequence[str], transform: TransformConfig, classes: int) -> Split:
    """Finds the files of a split and reads its labels.

    Raises:
      ValueError: there are none.
    """
    files = tuple(sorted(name for pattern in patterns for name in tf.io.gfile.glob(pattern)))
    spec = {features.CLASS_INDEX: tf.io.FixedLenFeature([], tf.int64)}
    batches = _records(files).batch(1024).map(lambda batch: tf.io.parse_example(batch, spec)) if files else []
    labels = [batch[features.CLASS_INDEX].numpy() for batch in batches]
    if not labels:
        raise ValueError(f"no transformed examples in {', '.join(patterns)}")
    return Split(files=files, labels=np.concatenate(labels), transform=transform, classes=classes)


def read(split: Split, batch_size: int = 256) -> Iterator[np.ndarray]:
    """The pixels, uint8 [batch, height, width, channels], in the order of the records."""
    spec = {features.PIXELS: tf.io.FixedLenFeature([], tf.string)}

    def parse(batch: tf.Tensor) -> tf.Tensor:
        return ops.unpack(tf.io.parse_example(batch, spec)[features.PIXELS], split.transform)

    batches = _records(split.files).batch(batch_size).map(parse, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(1).as_numpy_iterator()


def fingerprint(*splits: Split) -> str:
    """SHA-256, hexadecimal, that changes when an image or a label does; it reads 8 bytes a file, not the images."""
    digest = hashlib.sha256()
    for split in splits:
        for name in split.files:
            with tf.io.gfile.GFile(name, "rb") as file:
                file.seek(tf.io.gfile.stat(name).length - GZIP_TRAILER)
                digest.update(os.path.basename(name).encode() + file.read(GZIP_TRAILER))
        digest.update(b"/")
    return digest.hexdigest()


def channel_moments(split: Split) -> tuple[list[float], list[float]]:
    """Mean and deviation per channel that Transform computed over the training split."""
    spec = {
        name: tf.io.FixedLenFeature([split.transform.channels], tf.float32)
        for name in (features.CHANNEL_MEAN, features.CHANNEL_DEVIATION)
    }
    parsed = tf.io.parse_single_example(next(iter(_records(split.files))), spec)
    mean, deviation = (parsed[name].numpy().tolist() for name in spec)
    return mean, deviation


def _records(files: Sequence[str]) -> tf.data.Dataset:
    """Serialized examples, in the same order each time."""
    return tf.data.TFRecordDataset(list(files), compression_type="GZIP", num_parallel_reads=len(files))
