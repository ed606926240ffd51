"""Movements of images: each a 3 × 3 matrix, any number of them one projective transformation."""

import tensorflow as tf


def matrix(**entries: tf.Tensor) -> tf.Tensor:
    """Affine maps from output to input coordinates around the middle, [[a b c] [d e f] [0 0 1]]; float32 [batch, 3, 3].

    Entries are float32 [batch]; those that are not given are the identity's.
    """
    one = tf.ones_like(next(iter(entries.values())))
    identity = {"a": one, "b": 0 * one, "c": 0 * one, "d": 0 * one, "e": one, "f": 0 * one}
    rows = [*(identity | entries).values(), 0 * one, 0 * one, one]
    return tf.reshape(tf.stack(rows, axis=-1), [-1, 3, 3])


def project(images: tf.Tensor, parts: list[tf.Tensor], fill: str) -> tf.Tensor:
    """Applies maps one after the other, the middle of the image being their origin.

    Args:
      images: uint8 or float32 [batch, height, width, channels].
      parts: float32 [batch, 3, 3] maps from output to input coordinates.
      fill: what is beyond the borders: constant (black), nearest, reflect or wrap.
    """
    height, width = images.shape[1:3]
    combined = parts[0]
    for part in parts[1:]:
        combined = combined @ part
    x, y = (width - 1) / 2, (height - 1) / 2
    to_middle = tf.constant([[1.0, 0, -x], [0, 1, -y], [0, 0, 1]])
    back = tf.constant([[1.0, 0, x], [0, 1, y], [0, 0, 1]])
    flat = tf.reshape(back @ combined @ to_middle, [-1, 9])[:, :8]
    # The sums above leave an identity off by one part in 10⁷, which truncation to uint8 would make a whole level.
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=flat,
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode=fill.upper(),
    )
    moved.set_shape(images.shape)
    return tf.cast(tf.round(moved), images.dtype) if images.dtype.is_integer else moved
