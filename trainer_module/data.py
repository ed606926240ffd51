"""The transformed examples on disk: what is in a split, and its pixels batch by batch."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from transform import features, ops
from transform.config import TransformConfig
from transform.reading import read_images

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

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of what feeders read again and again: its pixels, unpacked, or its encoded images."""
        if self.transform.materialize == "encoded":
            return sum(tf.io.gfile.stat(name).length for name in self.files)
        return self.bytes_in_memory


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
    return (
        _images(split, batch_size)
        .map(lambda images: pixels(images, split.transform), tf.data.AUTOTUNE)
        .prefetch(1)
        .as_numpy_iterator()
    )


def read_encoded(split: Split, batch_size: int = 256) -> Iterator[np.ndarray]:
    """The encoded images, object [batch] of bytes, in the order of the records; of `materialize: encoded`."""
    return _images(split, batch_size).prefetch(1).as_numpy_iterator()


def pixels(images: tf.Tensor, transform: TransformConfig) -> tf.Tensor:
    """What Transform wrote of a batch of images, string [batch] → uint8 [batch, height, width, channels]."""
    packed = read_images(images, transform)[0] if transform.materialize == "encoded" else images
    return ops.unpack(packed, transform)


def _images(split: Split, batch_size: int) -> tf.data.Dataset:
    """What Transform wrote of each image, string [batch]."""
    name = split.transform.materialized
    spec = {name: tf.io.FixedLenFeature([], tf.string)}
    batches = _records(split.files).batch(batch_size)
    return batches.map(lambda batch: tf.io.parse_example(batch, spec)[name], num_parallel_calls=tf.data.AUTOTUNE)


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
    return untuned(tf.data.TFRecordDataset(list(files), compression_type="GZIP", num_parallel_reads=len(files)))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset, and all that is made of it, without tf.data's autotuning: AUTOTUNE is then the number of cores.

    Autotuning's thread sleeps for 10, 20, 40 … ms, and an iterator that ends waits until it wakes: each pass over
    evaluation images would take up to twice its time.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
