"""Image operations, each a pure function of tensors that traces into the graph."""

import math
from typing import Literal

import tensorflow as tf

from transform.config import TransformConfig
from transform.steps import Colour


def luma(image: tf.Tensor) -> tf.Tensor:
    """RGB → grey by ITU-R BT.601, rounded. uint8 [..., 3] → uint8 [..., 1]."""
    red, green, blue = (tf.cast(plane, tf.int32) for plane in tf.split(image, 3, axis=-1))
    # 16-bit fixed point: exact and, unlike a sum of floats, the same on every processor.
    return tf.cast((red * 19595 + green * 38470 + blue * 7471 + 32768) // 65536, tf.uint8)


def flatten(image: tf.Tensor, background: Colour | None) -> tf.Tensor:
    """Lays a picture with alpha on a colour, or drops alpha. uint8 [h, w, c + 1] → uint8 [h, w, c], c 1 or 3."""
    colours, alpha = image[..., :-1], tf.cast(image[..., -1:], tf.int32)
    if background is None:
        return colours
    mixed = tf.cast(colours, tf.int32) * alpha + _in_channels(background, colours.shape[-1]) * (255 - alpha)
    return tf.cast((mixed + 127) // 255, tf.uint8)


def orient(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors a stored image the way it was seen.

    Args:
      image: uint8 [h, w, c].
      orientation: int32 scalar, EXIF's: 1 … 8.

    Returns:
      uint8 [h, w, c], or [w, h, c] for the orientations from 5 on.
    """

    def turned() -> tf.Tensor:
        swapped = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        rows = tf.reduce_any(orientation == [3, 4, 7, 8])
        columns = tf.reduce_any(orientation == [2, 3, 6, 7])
        return tf.reverse(swapped, tf.where([rows, columns, False])[:, 0])

    oriented = tf.cond(orientation == 1, lambda: image, turned)
    oriented.set_shape([None, None, image.shape[-1]])
    return oriented


def oriented_size(height: tf.Tensor, width: tf.Tensor, orientation: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What `orient` makes of a size. int32 of any shape."""
    swapped = orientation >= 5
    return tf.where(swapped, width, height), tf.where(swapped, height, width)


def cropped_size(
    height: tf.Tensor, width: tf.Tensor, crop: float | Literal["aspect"], target: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """The size that a crop keeps.

    Args:
      height: rows before, int32 of any shape.
      width: columns before.
      crop: a share of both sides, or "aspect" for as much as has the aspect ratio of the target.
      target: height and width of the model's input.

    Returns:
      Rows and columns, at least 1.
    """
    if crop != "aspect":
        kept = (tf.cast(tf.round(tf.cast(side, tf.float32) * crop), tf.int32) for side in (height, width))
        rows, columns = (tf.maximum(side, 1) for side in kept)
        return rows, columns
    # Lowest terms, so that the products stay far from 2^31.
    common = math.gcd(*target)
    tall, wide = target[0] // common, target[1] // common
    return (
        tf.clip_by_value(_scaled(width, tall, wide), 1, height),
        tf.clip_by_value(_scaled(height, wide, tall), 1, width),
    )


def fitted_size(height: tf.Tensor, width: tf.Tensor, target: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """The largest size of the same aspect ratio that fits into the target, rounded, at least 1. int32 of any shape."""
    rows, columns = tf.cast(height, tf.float64), tf.cast(width, tf.float64)
    scale = tf.minimum(target[0] / tf.maximum(rows, 1), target[1] / tf.maximum(columns, 1))

    def scaled(side: tf.Tensor, limit: int) -> tf.Tensor:
        return tf.clip_by_value(tf.cast(tf.round(side * scale), tf.int32), 1, limit)

    return scaled(rows, target[0]), scaled(columns, target[1])


def resize(image: tf.Tensor, height: tf.Tensor | int, width: tf.Tensor | int, method: str) -> tf.Tensor:
    """Resizes one image.

    Args:
      image: uint8 [h, w, c].
      height: rows of the result.
      width: columns of the result.
      method: "area", "bicubic", "bilinear", or "auto": area for the sides that shrink, then bicubic for those that
        grow (handbook, part 10, "Data Preprocessing Pipeline").

    Returns:
      uint8 [height, width, c], rounded and clipped to 0 … 255; the image itself when the size already fits.
    """

    def by(method: str, image: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        def resized() -> tf.Tensor:
            values = tf.image.resize(image, tf.stack([height, width]), method=method)
            return tf.cast(tf.clip_by_value(tf.round(values), 0.0, 255.0), tf.uint8)

        fits = (tf.shape(image)[0] == height) & (tf.shape(image)[1] == width)
        return tf.cond(fits, lambda: image, resized)

    if method == "auto":
        smaller = by("area", image, tf.minimum(tf.shape(image)[0], height), tf.minimum(tf.shape(image)[1], width))
        return by("bicubic", smaller, height, width)
    return by(method, image, height, width)


def area(image: tf.Tensor, box: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """The means over a box whose edges may cut through pixels; each counts by its share.

    Args:
      image: uint8 [h, w, c].
      box: top, left, rows and columns in pixels of the image, float [4]; beyond the image there is black.
      height: rows of the result.
      width: columns of the result.

    Returns:
      uint8 [height, width, c], rounded.
    """
    rows, columns, channels = tf.unstack(tf.shape(image))
    top, left, box_rows, box_columns = tf.unstack(tf.cast(box, tf.float32))
    values = tf.reshape(tf.cast(image, tf.float32), [rows, columns * channels])
    values = tf.matmul(_shares(top, box_rows, height, rows), values)
    values = tf.transpose(tf.reshape(values, [height, columns, channels]), [0, 2, 1])
    values = tf.matmul(
        tf.reshape(values, [height * channels, columns]), _shares(left, box_columns, width, columns), transpose_b=True
    )
    values = tf.transpose(tf.reshape(values, [height, channels, width]), [0, 2, 1])
    means = tf.cast(tf.clip_by_value(tf.round(values), 0.0, 255.0), tf.uint8)
    return tf.ensure_shape(means, [None, None, image.shape[-1]])


def _shares(start: tf.Tensor, length: tf.Tensor, parts: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """How much of each pixel is in each part of a line, as a weight: float32 [parts, size], rows summing to 1."""
    step = length / tf.cast(parts, tf.float32)
    low = start + step * tf.range(parts, dtype=tf.float32)[:, tf.newaxis]
    pixel = tf.range(size, dtype=tf.float32)
    inside = tf.minimum(low + step, pixel + 1) - tf.maximum(low, pixel)
    return tf.maximum(inside, 0) / step


def pad(image: tf.Tensor, height: int, width: int, filling: Colour | Literal["edge", "reflect"]) -> tf.Tensor:
    """Puts an image into the middle of a larger one.

    Args:
      image: uint8 [h, w, c], h ≤ height and w ≤ width.
      height: rows of the result.
      width: columns of the result.
      filling: the colour beside the image, or its border's pixels, or its reflection, as often as needed.

    Returns:
      uint8 [height, width, c].
    """
    rows, columns = tf.shape(image)[0], tf.shape(image)[1]
    top, left = (height - rows) // 2, (width - columns) // 2
    if filling == (0, 0, 0):
        around = [[top, height - rows - top], [left, width - columns - left], [0, 0]]
        return tf.pad(image, around)
    row, column = tf.range(height) - top, tf.range(width) - left
    if filling in ("edge", "reflect"):
        find = _nearest if filling == "edge" else _mirrored
        return tf.gather(tf.gather(image, find(row, rows)), find(column, columns), axis=1)
    colour = _in_channels(filling, image.shape[-1])  # type: ignore[arg-type]
    around = [[top, height - rows - top], [left, width - columns - left], [0, 0]]
    # Where 1 is padded as 0, the colour belongs.
    outside = 1 - tf.pad(tf.ones_like(image[..., :1], tf.int32), around)
    return tf.cast(tf.cast(tf.pad(image, around), tf.int32) + outside * colour, tf.uint8)


def pack(pixels: tf.Tensor) -> tf.Tensor:
    """uint8 [h, w, c] → string scalar of exactly h·w·c bytes: no cheaper form fits into a tf.Example."""
    # The raw bytes are the last field of the serialized TensorProto.
    size = pixels.shape.num_elements()
    return tf.strings.substr(tf.io.serialize_tensor(pixels), -size, size)


def unpack(packed: tf.Tensor, config: TransformConfig) -> tf.Tensor:
    """The inverse of `pack` for a batch: string [batch] → uint8 [batch, height, width, channels]."""
    flat = tf.io.decode_raw(packed, tf.uint8)
    return tf.reshape(flat, [-1, config.height, config.width, config.channels])


def _scaled(side: tf.Tensor, numerator: int, denominator: int) -> tf.Tensor:
    """side · numerator / denominator, rounded down, without overflow."""
    return tf.cast(tf.cast(side, tf.int64) * numerator // denominator, tf.int32)


def _nearest(index: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(index, 0, size - 1)


def _mirrored(index: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """… 2 1 0 1 2 1 0 … for a size of 3: the border's pixels are not repeated."""
    period = tf.maximum(2 * (size - 1), 1)
    index = tf.math.floormod(index, period)
    return tf.minimum(index, period - index)


def _in_channels(colour: Colour, channels: int) -> tf.Tensor:
    """int32 [channels]."""
    rgb = tf.constant(colour, tf.uint8)
    return tf.cast(rgb if channels == 3 else luma(rgb), tf.int32)
