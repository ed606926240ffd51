"""ResNeXt, which tf.keras.applications lacks (Xie et al., 2017): ResNet's bottlenecks with grouped convolutions."""

import tensorflow as tf

BLOCKS = {"ResNeXt50": (3, 4, 6, 3), "ResNeXt101": (3, 4, 23, 3)}
"""Residual blocks in each of the four groups."""
CARDINALITY = 32
"""Paths in each block."""


def resnext(images: tf.Tensor, architecture: str) -> tf.Tensor:
    """ResNeXt-50 or -101, 32×4d, without its classifier. float32 [batch, h, w, c] → [batch, h / 32, w / 32, 2048]."""
    layers = tf.keras.layers
    y = _convolution(images, 64, 7, strides=2, name="stem")
    y = layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(y)
    for group, blocks in enumerate(BLOCKS[architecture]):
        for block in range(blocks):
            strides = 2 if group and not block else 1
            y = _block(y, 128 * 2**group, strides=strides, name=f"group{group + 1}_block{block + 1}")
    return y


def _block(x: tf.Tensor, width: int, *, strides: int, name: str) -> tf.Tensor:
    """1×1, grouped 3×3, 1×1 to twice the width, and the shortcut."""
    layers = tf.keras.layers
    shortcut = x
    if strides > 1 or x.shape[-1] != 2 * width:
        shortcut = _convolution(x, 2 * width, 1, strides=strides, activate=False, name=f"{name}_shortcut")
    y = _convolution(x, width, 1, name=f"{name}_reduce")
    y = _convolution(y, width, 3, strides=strides, groups=CARDINALITY, name=f"{name}_grouped")
    y = _convolution(y, 2 * width, 1, activate=False, name=f"{name}_expand")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([shortcut, y]))


def _convolution(
    x: tf.Tensor, filters: int, size: int, *, name: str, strides: int = 1, groups: int = 1, activate: bool = True
) -> tf.Tensor:
    layers = tf.keras.layers
    x = layers.Conv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        groups=groups,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    x = layers.BatchNormalization(name=f"{name}_normalization")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if activate else x
