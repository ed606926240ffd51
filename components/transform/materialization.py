"""Materialization: the exported graph over the raw examples, file by file, into what training reads."""

import logging
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from components.transform.records import batches
from transform import features
from transform.config import TransformConfig

log = logging.getLogger("tfx_vision.Transform")
Item = TypeVar("Item")

LEVEL = 1
"""Of the compression of pixels that shrink; zlib's usual 6 takes longer than decoding them."""
SHRINKS = 0.8
"""What must be left of pixels at most, as a share, for their compression to pay. Photographs keep more."""

Rows = Mapping[str, np.ndarray]
"""Features of a batch by name; the first axis is the batch."""


class Materialize(beam.DoFn):
    """(name of a file of raw examples, name for the transformed ones, which stay in their order) → number of images.

    Raises:
      tf.errors.InvalidArgumentError: an image cannot be used; the message names it.
    """

    def __init__(self, graph: str, config: TransformConfig, total: int = 0):
        """With the folder of the transform graph, the settings and, for the progress, the number of all images."""
        self._graph, self._config, self._total, self._done = graph, config, total, 0

    def setup(self) -> None:
        self._transform = load(self._graph, self._config)

    def process(self, names: tuple[str, str]) -> Iterator[int]:
        source, target = names
        before = self._done
        rows = ahead(map(self._transform, batches([source], self._config)))
        write(target, rows, self._config.materialized, self._say)
        yield self._done - before

    def _say(self, images: int) -> None:
        self._done += images
        done = (self._done, self._total)
        log.info("%s of %s images", *(f"{number:,}" for number in done), extra={"progress": done})


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The same items; the next one is made in a thread while one is in use."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item


def load(graph: str, config: TransformConfig) -> Callable[[list[bytes]], Rows]:
    """The graph as a function of serialized raw examples; of the images, it returns what is materialized."""
    output = tft.TFTransformOutput(graph)
    layer, spec = output.transform_features_layer(), output.raw_feature_spec()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def transform(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        raw = tf.io.parse_example(serialized, spec)
        outputs = layer(raw)
        if config.materialize == "encoded":
            del outputs[features.PIXELS]
            outputs[features.IMAGE] = tf.reshape(raw[features.IMAGE], [-1])
        return outputs

    return lambda batch: {name: value.numpy() for name, value in transform(tf.constant(batch)).items()}


def write(file: str, batches: Iterable[Rows], image: str, done: Callable[[int], None]) -> None:
    """Writes batches to a GZIP'd TFRecord, without compression where that is worth nothing.

    Args:
      file: its name.
      batches: what to write.
      image: the feature that has the images.
      done: is told the images of each batch.
    """
    tf.io.gfile.makedirs(os.path.dirname(file))
    writer = None
    try:
        for rows in batches:
            if writer is None:
                writer = open_writer(file, compress=shrinks(b"".join(rows[image][:50])))
            for example in examples(rows):
                writer.write(example)
            done(len(rows[image]))
    finally:
        (writer or open_writer(file, compress=False)).close()


def open_writer(file: str, *, compress: bool) -> tf.io.TFRecordWriter:
    return tf.io.TFRecordWriter(
        file, tf.io.TFRecordOptions(compression_type="GZIP", compression_level=LEVEL if compress else 0)
    )


def shrinks(data: bytes) -> bool:
    """Whether compression takes enough off; it does not where the images are compressed already."""
    return len(zlib.compress(data, LEVEL)) <= SHRINKS * len(data)


def examples(rows: Rows) -> Iterator[bytes]:
    """Rows → serialized tf.Examples."""
    for values in zip(*rows.values(), strict=True):
        example = tf.train.Example()
        feature = example.features.feature
        for name, value in zip(rows, values, strict=True):
            if isinstance(value, bytes):
                feature[name].bytes_list.value.append(value)
            elif value.dtype.kind == "f":
                feature[name].float_list.value.extend(value.ravel().tolist())
            else:
                feature[name].int64_list.value.append(int(value))
        yield example.SerializeToString()
