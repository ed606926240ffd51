"""What is refused before anything is decoded, image by image, with the reason as a sentence's end."""

import tensorflow as tf

from transform.config import TransformConfig
from transform.headers import KINDS, UNKNOWN, Headers


def refusals(encoded: tf.Tensor, headers: Headers, config: TransformConfig) -> tf.Tensor:
    """Why an image is refused, such as "is empty".

    Args:
      encoded: string [batch], the bytes of the files.
      headers: theirs.
      config: holds the limits.

    Returns:
      string [batch], "" where the header says nothing against decoding.
    """
    size = tf.strings.length(encoded)
    pixels = tf.cast(headers.height, tf.int64) * tf.cast(headers.width, tf.int64)
    known = tf.gather([*KINDS, ""], headers.kind)
    dimensions = tf.strings.join([tf.strings.as_string(headers.width), " x ", tf.strings.as_string(headers.height)])
    too_many = tf.strings.join(["is ", dimensions, f" pixels; at most {config.max_pixels} in all are taken"])
    too_large = tf.strings.join(
        ["is ", tf.strings.as_string(size), f" bytes large; at most {config.max_bytes} are taken"]
    )
    # The last that applies is given.
    reason = headers.unsupported
    reason = tf.where(pixels > config.max_pixels, too_many, reason)
    reason = tf.where(pixels == 0, tf.strings.join(["is a damaged ", known]), reason)
    reason = tf.where(headers.kind == UNKNOWN, f"is neither a {', '.join(KINDS[:-1])} nor a {KINDS[-1]}", reason)
    reason = tf.where(size > config.max_bytes, too_large, reason)
    return tf.where(size == 0, "is empty", reason)


def damaged(headers: Headers) -> tf.Tensor:
    """What is said of images whose decoding failed. string [batch]."""
    return tf.strings.join(["is a damaged or truncated ", tf.gather([*KINDS, ""], headers.kind)])
