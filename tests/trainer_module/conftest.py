"""A small transformed split that several tests train on."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer_module import data
from transform import features
from transform.config import TransformConfig

TRANSFORM = TransformConfig(height=6, width=5, channels=1)
CLASSES = 3
SIZE = 50


@pytest.fixture(scope="session")
def split(tmp_path_factory) -> data.Split:
    """50 images of noise in two files; the first pixel is the image's number, the class its remainder by 3."""
    return write_split(tmp_path_factory.mktemp("transformed"), TRANSFORM)


@pytest.fixture(scope="session")
def encoded_split(tmp_path_factory) -> data.Split:
    """The same images as PNGs, which is what Transform materializes on request."""
    return write_split(tmp_path_factory.mktemp("encoded"), dataclasses.replace(TRANSFORM, materialize="encoded"))


def write_split(folder: Path, transform: TransformConfig) -> data.Split:
    random = np.random.default_rng(0)
    for shard in range(2):
        options = tf.io.TFRecordOptions(compression_type="GZIP")
        with tf.io.TFRecordWriter(str(folder / f"data-{shard}.gz"), options) as writer:
            for number in range(shard, SIZE, 2):
                pixels = random.integers(0, 256, (6, 5, 1), dtype=np.uint8)
                pixels[0, 0, 0] = number
                example = tf.train.Example()
                image = pixels.tobytes() if transform.materialize == "pixels" else tf.io.encode_png(pixels).numpy()
                example.features.feature[transform.materialized].bytes_list.value.append(image)
                example.features.feature[features.CLASS_INDEX].int64_list.value.append(number % CLASSES)
                writer.write(example.SerializeToString())
    return data.open_split([str(folder / "*")], transform, CLASSES)


@pytest.fixture
def split_of(tmp_path) -> Callable[[TransformConfig], data.Split]:
    """A split of eight images of noise in three classes, of any shape."""

    def write(transform: TransformConfig) -> data.Split:
        random = np.random.default_rng(0)
        options = tf.io.TFRecordOptions(compression_type="GZIP")
        with tf.io.TFRecordWriter(str(tmp_path / "noise.gz"), options) as writer:
            for number in range(8):
                shape = transform.height, transform.width, transform.channels
                example = tf.train.Example()
                pixels = random.integers(0, 256, shape, dtype=np.uint8)
                example.features.feature[features.PIXELS].bytes_list.value.append(pixels.tobytes())
                example.features.feature[features.CLASS_INDEX].int64_list.value.append(number % CLASSES)
                writer.write(example.SerializeToString())
        return data.open_split([str(tmp_path / "noise.gz")], transform, CLASSES)

    return write
