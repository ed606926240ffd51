"""`preprocessing_fn`, which TensorFlow Transform analyses and ships inside the model."""

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from transform import features, ops
from transform.config import TransformConfig, from_json
from transform.reading import read_images

UNUSABLE = "unusable: "
"""Begins what TensorFlow's error says when Transform meets an image that cannot be used."""


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Encoded images and class names → packed pixels and class indices.

    Args:
      inputs: `features.IMAGE`, `features.LABEL` and `features.PATH`, string [batch, 1]; others are ignored.
      custom_config: {"transform": the JSON form of `TransformConfig`}.

    Returns:
      `features.PIXELS` and `features.STATUS` string [batch], `features.CLASS_INDEX` int64 [batch] and, when
      standardizing, `features.CHANNEL_MEAN` and `features.CHANNEL_DEVIATION`, float32 [batch, channels].

    Raises:
      tf.errors.InvalidArgumentError: when the graph runs on an image that cannot be used, or on a label that the
        training split does not have, and the class index is wanted.
    """
    config = from_json(TransformConfig, custom_config["transform"])
    packed, status = read_images(tf.reshape(inputs[features.IMAGE], [-1]), config)
    label, path = (tf.reshape(inputs[name], [-1]) for name in (features.LABEL, features.PATH))
    outputs = {
        features.PIXELS: packed,
        features.STATUS: status,
        features.CLASS_INDEX: refuse_unusable(class_indices(label), label, path, status),
    }
    if config.normalization == "standardize":
        outputs |= channel_moments(packed, config)
    return outputs


def class_indices(labels: tf.Tensor) -> tf.Tensor:
    """string [batch] → int64 [batch] by the vocabulary of the training split; -1 when it is not there.

    The order is fixed by the names alone (reverse alphabetical): TFT orders by weight and then by name, and
    here all weights are zero. An order by frequency would renumber the classes whenever data is added.
    """
    return tft.compute_and_apply_vocabulary(
        labels, weights=tf.zeros_like(labels, tf.float32), vocab_filename=features.VOCABULARY, default_value=-1
    )


def refuse_unusable(index: tf.Tensor, label: tf.Tensor, path: tf.Tensor, status: tf.Tensor) -> tf.Tensor:
    """The class indices, once every image of the batch is sound and of a known class.

    Served images come without a path and are not held up: their class index means nothing.
    """
    unknown = tf.strings.join(["is of class ", label, ", which the training split does not have"])
    trouble = tf.where(tf.equal(status, "") & (index < 0), unknown, status)
    passes = tf.equal(trouble, "") | tf.equal(path, "")
    trouble = tf.where(passes, "0", tf.strings.join([UNUSABLE, path, " ", trouble]))
    # An assertion would run in every phase of TFT, wanted or not. This fails as well, and with the text in its message.
    return index + tf.strings.to_number(trouble, tf.int64)


def channel_moments(packed: tf.Tensor, config: TransformConfig) -> dict[str, tf.Tensor]:
    """Mean and deviation per channel over every pixel of the training split, repeated for each image.

    The sums are of integers, so that they are the same in whatever order and from whatever cache they are added up. TFT
    has no other way to hand constants on; in the gzipped records they cost a few bytes an image.
    """
    pixels = tf.cast(ops.unpack(packed, config), tf.int32)

    def total(values: tf.Tensor) -> tf.Tensor:
        # A row of 4,096 squares is below 2^31, an image is not.
        rows = tf.cast(tf.reduce_sum(values, axis=2), tf.int64)
        return tf.cast(tft.sum(tf.reduce_sum(rows, axis=1), reduce_instance_dims=False), tf.float64)

    count = tf.cast(tft.size(packed), tf.float64) * config.height * config.width
    mean, square = total(pixels) / count, total(pixels**2) / count
    deviation = tf.sqrt(tf.maximum(square - mean**2, 0))
    batch = tf.shape(packed)[0]
    return {
        features.CHANNEL_MEAN: tf.tile(tf.cast(mean, tf.float32)[tf.newaxis], [batch, 1]),
        features.CHANNEL_DEVIATION: tf.tile(tf.cast(deviation, tf.float32)[tf.newaxis], [batch, 1]),
    }
