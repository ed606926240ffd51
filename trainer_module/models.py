"""The networks: the handbook's ConvNet and every architecture of tf.keras.applications."""

from collections.abc import Sequence

import tensorflow as tf

from trainer_module.model_config import ModelConfig
from transform.config import TransformConfig

Moments = tuple[Sequence[float], Sequence[float]]


def build_model(
    model: ModelConfig, transform: TransformConfig, classes: int, moments: Moments | None = None
) -> tf.keras.Model:
    """Pixels → probabilities, uncompiled; normalization is its first layer.

    Args:
      model: the network's settings.
      transform: the input's shape and normalization.
      classes: number of classes.
      moments: mean and deviation per channel, for `normalization: standardize`.

    Returns:
      A model from uint8 [batch, height, width, channels] to float32 [batch, classes].

    Raises:
      ValueError: the network does not fit the image size.
    """
    layers = tf.keras.layers
    pixels = layers.Input((transform.height, transform.width, transform.channels), dtype=tf.uint8, name="pixels")
    x = normalization(transform, moments)(pixels)
    x = convnet(x, model) if model.architecture == "convnet" else application(x, model)
    if model.hidden_units:
        x = layers.Dense(model.hidden_units, activation="relu", kernel_initializer="he_normal", name="hidden")(x)
    x = layers.Dropout(model.dropout, name="dropout")(x)
    # Probabilities stay in float32 under mixed precision, or small ones are lost.
    probabilities = layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(x)
    return tf.keras.Model(pixels, probabilities, name=model.architecture)


def normalization(transform: TransformConfig, moments: Moments | None) -> tf.keras.layers.Layer:
    """The layer from uint8 pixels to the network's range; its constants are part of the saved model."""
    layers = tf.keras.layers
    if transform.normalization == "rescale":
        return layers.Rescaling(1 / 255, name="rescale")
    if transform.normalization == "rescale_signed":
        return layers.Rescaling(1 / 127.5, offset=-1, name="rescale_signed")
    if transform.normalization == "standardize":
        assert moments is not None
        mean, deviation = moments
        return layers.Normalization(
            mean=list(mean), variance=[max(d, 1e-3) ** 2 for d in deviation], name="standardize"
        )
    return layers.Rescaling(1.0, name="cast")


def convnet(x: tf.Tensor, model: ModelConfig) -> tf.Tensor:
    """The handbook's ConvNet: groups of convolutions, pooling and dropout; He initialization for ReLU.

    float32 [batch, h, w, c] → float32 [batch, features].
    """
    layers = tf.keras.layers
    for group, filters in enumerate(model.filters, 1):
        for part in "abcd"[: model.convolutions]:
            x = layers.Conv2D(
                filters,
                3,
                padding="same",
                use_bias=not model.batch_normalization,
                kernel_initializer="he_normal",
                name=f"group{group}{part}",
            )(x)
            if model.batch_normalization:
                x = layers.BatchNormalization(name=f"group{group}{part}_normalization")(x)
            x = layers.ReLU(name=f"group{group}{part}_relu")(x)
        if min(x.shape[1], x.shape[2]) < 2:
            raise ValueError(f"model.filters has {len(model.filters)} groups, too many for so small an image")
        x = layers.MaxPooling2D(name=f"group{group}_pool")(x)
        x = layers.Dropout(model.dropout / 2, name=f"group{group}_dropout")(x)
    return layers.Flatten(name="bottleneck")(x)


def application(x: tf.Tensor, model: ModelConfig) -> tf.Tensor:
    """A tf.keras.applications network without its classifier, randomly initialized, averaged over space."""
    if x.shape[-1] == 1:
        x = tf.keras.layers.Concatenate(name="grey_to_colour")([x, x, x])
    constructor = getattr(tf.keras.applications, model.architecture)
    backbone = constructor(include_top=False, weights=None, input_shape=x.shape[1:], pooling="avg")
    return backbone(x)
