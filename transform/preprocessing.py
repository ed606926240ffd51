"""`preprocessing_fn`: the graph that TensorFlow Transform analyses once and that ships inside the model."""

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from transform import features, ops
from transform.config import TransformConfig, from_json


def preprocessing_fn(inputs: dict[str, tf.Tensor], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Encoded images and class names → packed pixels and class indices.

    Args:
      inputs: `features.IMAGE` and `features.LABEL`, string [batch, 1]; other raw features are ignored.
      custom_config: {"transform": the JSON form of `TransformConfig`}.

    Returns:
      `features.PIXELS` string [batch], `features.CLASS_INDEX` int64 [batch] and, when standardizing,
      `features.CHANNEL_MEAN` and `features.CHANNEL_DEVIATION`, float32 [batch, channels].
    """
    config = from_json(TransformConfig, custom_config["transform"])
    encoded = tf.reshape(inputs[features.IMAGE], [-1])
    shape = [config.height, config.width, config.channels]
    pixels = tf.map_fn(
        lambda one: ops.to_pixels(one, config), encoded, fn_output_signature=tf.TensorSpec(shape, tf.uint8)
    )
    outputs = {
        features.PIXELS: tf.map_fn(ops.pack, pixels, fn_output_signature=tf.TensorSpec([], tf.string)),
        features.CLASS_INDEX: class_indices(tf.reshape(inputs[features.LABEL], [-1])),
    }
    if config.normalization == "standardize":
        outputs |= channel_moments(pixels)
    return outputs


def class_indices(labels: tf.Tensor) -> tf.Tensor:
    """string [batch] → int64 [batch] by the vocabulary of the training split; -1 when it is not there.

    The order is fixed by the names alone (reverse alphabetical): TFT orders by weight and then by name, and
    here all weights are zero. An order by frequency would renumber the classes whenever data is added.
    """
    return tft.compute_and_apply_vocabulary(
        labels, weights=tf.zeros_like(labels, tf.float32), vocab_filename=features.VOCABULARY, default_value=-1
    )


def channel_moments(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
    """Mean and deviation per channel over every pixel of the training split, repeated for each image.

    TFT has no other way to hand constants on; in the gzipped records they cost a few bytes an image.
    """
    channels = pixels.shape[-1]
    values = tf.reshape(tf.cast(pixels, tf.float32), [-1, channels])
    mean, variance = tft.mean(values, reduce_instance_dims=False), tft.var(values, reduce_instance_dims=False)
    batch = tf.shape(pixels)[0]
    return {
        features.CHANNEL_MEAN: tf.tile(mean[tf.newaxis], [batch, 1]),
        features.CHANNEL_DEVIATION: tf.tile(tf.sqrt(variance)[tf.newaxis], [batch, 1]),
    }
