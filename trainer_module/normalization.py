"""From pixels to the range of numbers that a network expects."""

from collections.abc import Sequence

import tensorflow as tf

from trainer_module.model_config import APPLICATIONS
from transform.config import TransformConfig

Moments = tuple[Sequence[float], Sequence[float]]
"""Mean and deviation per channel."""

IMAGENET_MEAN = [123.675, 116.28, 103.53]
"""Of red, green and blue over ImageNet, out of 255."""
IMAGENET_DEVIATION = [58.395, 57.12, 57.375]
"""Likewise."""

BRING_THEIR_OWN = ("EfficientNet", "MobileNetV3", "ConvNeXt", "RegNet", "ResNetRS")
"""Families of tf.keras.applications whose first layers normalize."""


def brings_normalization(architecture: str) -> bool:
    """Whether the network normalizes by itself, unless it is told not to."""
    return architecture.startswith(BRING_THEIR_OWN)


def normalize(pixels: tf.Tensor, transform: TransformConfig, architecture: str, moments: Moments | None) -> tf.Tensor:
    """Casts and normalizes; networks of tf.keras.applications get three channels.

    Args:
      pixels: uint8 [batch, height, width, channels].
      transform: says how; `auto` is what the network's published weights were trained with, else [0, 1].
      architecture: the network.
      moments: for `standardize`.

    Raises:
      ValueError: the network normalizes by itself and cannot be told not to.
    """
    how = transform.normalization
    application = architecture in APPLICATIONS
    if application and how != "auto" and architecture.startswith("EfficientNetB"):
        raise ValueError(f"{architecture} always normalizes by itself; set transform.normalization to auto")
    x = layer(transform, moments)(pixels) if how != "auto" or not application else tf.cast(pixels, tf.float32)
    if application and x.shape[-1] == 1:
        x = tf.keras.layers.Concatenate(name="grey_to_colour")([x, x, x])
    return published(x, architecture) if application and how == "auto" else x


def layer(transform: TransformConfig, moments: Moments | None) -> tf.keras.layers.Layer:
    """uint8 → float32, in the range of `transform.normalization`; auto is [0, 1]."""
    layers = tf.keras.layers
    if transform.normalization in ("auto", "rescale"):
        return layers.Rescaling(1 / 255, name="rescale")
    if transform.normalization == "rescale_signed":
        return layers.Rescaling(1 / 127.5, offset=-1, name="rescale_signed")
    if transform.normalization == "standardize":
        assert moments is not None, "Transform computes them"
        mean, deviation = moments
        # A channel of one colour has no deviation.
        return layers.Normalization(
            mean=list(mean), variance=[max(d, 1e-3) ** 2 for d in deviation], name="standardize"
        )
    cast = layers.Rescaling(1.0, name="cast")
    if transform.normalization == "standardize_image":
        # An image of one colour has no deviation.
        one = layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, epsilon=1e-3, name="standardize")
        return tf.keras.Sequential([cast, one], name="standardize_image")
    return cast


def published(x: tf.Tensor, architecture: str) -> tf.Tensor:
    """As for the weights that Keras publishes. float32 [batch, h, w, 3], RGB, 0 … 255."""
    layers = tf.keras.layers
    if brings_normalization(architecture):
        return x
    if architecture.startswith("DenseNet"):
        variance = [deviation**2 for deviation in IMAGENET_DEVIATION]
        return layers.Normalization(mean=IMAGENET_MEAN, variance=variance, name="normalize")(x)
    if architecture.startswith("VGG") or architecture in ("ResNet50", "ResNet101", "ResNet152"):
        # These stem from Caffe: blue first, means taken off and not scaled.
        centred = layers.Normalization(mean=[123.68, 116.779, 103.939], variance=[1.0] * 3, name="centre")(x)
        return centred[..., ::-1]
    return layers.Rescaling(1 / 127.5, offset=-1, name="rescale_signed")(x)
