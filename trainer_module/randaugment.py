"""RandAugment: a few operations, drawn for each image, at one strength for all (Cubuk et al., 2020, table 6)."""

import math
from collections.abc import Callable

import tensorflow as tf

from trainer_module.geometry import matrix, project

Operation = Callable[[tf.Tensor, float, tf.Tensor], tf.Tensor]
"""(float32 images [n, h, w, c] in 0 … 255, strength 0 … 1, signs ±1 [n]) → images of the same shape."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of ITU-R BT.601."""


def randaugment(images: tf.Tensor, operations: int, magnitude: float, *, seed: tf.Tensor) -> tf.Tensor:
    """Applies `operations` drawn operations to each image.

    Args:
      images: float32 [batch, height, width, channels], 0 … 255.
      operations: how many, one after the other; the same may be drawn again.
      magnitude: their strength, 0 … 10.
      seed: int64 [2], decides every draw.

    Returns:
      The same shape, within 0 … 255.
    """
    size = tf.shape(images)[0]
    images = tf.clip_by_value(images, 0.0, 255.0)
    for place in range(operations):
        chosen, sign = (
            tf.random.stateless_uniform([size], seed + tf.constant([0, offset * 2**40], tf.int64), 0, limit, tf.int32)
            for offset, limit in ((2 * place + 1, len(OPERATIONS)), (2 * place + 2, 2))
        )
        images = _apply(images, chosen, tf.cast(2 * sign - 1, tf.float32), magnitude / 10)
    return images


def _apply(images: tf.Tensor, chosen: tf.Tensor, signs: tf.Tensor, strength: float) -> tf.Tensor:
    """Each operation works only on the images it was drawn for."""
    members = tf.dynamic_partition(tf.range(tf.shape(images)[0]), chosen, len(OPERATIONS))
    parts = []
    for operation, indices in zip(OPERATIONS, members, strict=True):
        part = tf.ensure_shape(tf.gather(images, indices), [None, *images.shape[1:]])
        parts.append(tf.clip_by_value(operation(part, strength, tf.gather(signs, indices)), 0.0, 255.0))
    return tf.ensure_shape(tf.dynamic_stitch(members, parts), images.shape)


def rotate(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """By up to 30 degrees."""
    angle = math.radians(30) * strength * signs
    return project(images, [matrix(a=tf.cos(angle), b=-tf.sin(angle), d=tf.sin(angle), e=tf.cos(angle))], "constant")


def shear_x(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """By up to 0.3."""
    return project(images, [matrix(b=0.3 * strength * signs)], "constant")


def shear_y(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """By up to 0.3."""
    return project(images, [matrix(d=0.3 * strength * signs)], "constant")


def translate_x(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """By up to 30 % of the width."""
    return project(images, [matrix(c=0.3 * images.shape[2] * strength * signs)], "constant")


def translate_y(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """By up to 30 % of the height."""
    return project(images, [matrix(f=0.3 * images.shape[1] * strength * signs)], "constant")


def identity(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """Leaves the images as they are."""
    return images


def autocontrast(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """Stretches each channel over the whole range; one that is flat stays."""
    low = tf.reduce_min(images, axis=[1, 2], keepdims=True)
    high = tf.reduce_max(images, axis=[1, 2], keepdims=True)
    return tf.where(high > low, (images - low) * 255 / tf.maximum(high - low, 1.0), images)


def equalize(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """Makes each channel's histogram as flat as it can be."""
    height, width, channels = images.shape[1:]
    flat = tf.reshape(tf.transpose(tf.cast(tf.round(images), tf.int32), [0, 3, 1, 2]), [-1, height * width])
    # bincount sizes its result by the largest value of all rows; 256 columns whatever the images hold.
    cumulated = tf.cumsum(tf.math.bincount(flat, minlength=256, maxlength=256, axis=-1), axis=1)
    lowest = tf.reduce_min(tf.where(cumulated > 0, cumulated, height * width), axis=1, keepdims=True)
    span = tf.maximum(height * width - lowest, 1)
    levels = 255 * tf.cast(tf.maximum(cumulated - lowest, 0), tf.float32) / tf.cast(span, tf.float32)
    # A channel of one colour has no histogram to flatten.
    levels = tf.where(lowest < height * width, levels, tf.range(256, dtype=tf.float32)[tf.newaxis])
    equalized = tf.reshape(tf.gather(levels, flat, batch_dims=1), [-1, channels, height, width])
    return tf.transpose(equalized, [0, 2, 3, 1])


def solarize(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """Inverts what is lighter than a threshold, 255 at strength 0 and 0 at strength 1."""
    return tf.where(images > 255 * (1 - strength), 255 - images, images)


def posterize(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """Keeps 8 bits at strength 0 and 4 at strength 1."""
    step = float(2 ** round(4 * strength))
    return tf.floor(images / step) * step


def colour(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """Changes the distance from grey; grey images stay."""
    if images.shape[-1] == 1:
        return images
    grey = tf.reduce_sum(images * LUMA, axis=-1, keepdims=True)
    return _away_from(grey, images, strength, signs)


def contrast(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """Changes the distance from the image's mean."""
    return _away_from(tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True), images, strength, signs)


def brightness(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """Changes the distance from black."""
    return _away_from(tf.zeros_like(images), images, strength, signs)


def sharpness(images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """Changes the distance from a blurred image."""
    height, width = images.shape[1:3]
    padded = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    # Sums of slices, for depthwise_conv2d gives an empty batch the wrong shape.
    around = [padded[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    blurred = (tf.add_n(around) + 4 * images) / 13
    return _away_from(blurred, images, strength, signs)


def _away_from(other: tf.Tensor, images: tf.Tensor, strength: float, signs: tf.Tensor) -> tf.Tensor:
    """Scales the distance to `other` by 1 ± 0.9 · strength."""
    return other + tf.reshape(1 + 0.9 * strength * signs, [-1, 1, 1, 1]) * (images - other)


OPERATIONS: tuple[Operation, ...] = (
    identity,
    autocontrast,
    equalize,
    rotate,
    solarize,
    colour,
    posterize,
    contrast,
    brightness,
    sharpness,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
)
"""The fourteen of the paper."""
