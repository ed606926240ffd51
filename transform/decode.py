"""Decoding one image: from the bytes of a file to uint8 pixels, at a reduced size where a large JPEG allows it."""

from collections.abc import Callable

import tensorflow as tf

from transform.headers import KINDS
from transform.ops import flatten, luma
from transform.steps import Colour

RATIOS = (1, 2, 4, 8)
"""Reductions that JPEG decoders reach by a smaller inverse DCT, at a fraction of the time and memory."""

DECODERS = len(RATIOS) + len(KINDS) - 1
"""JPEG at each ratio, then the other kinds."""


def decoder(kind: tf.Tensor, ratio: tf.Tensor) -> tf.Tensor:
    """Which decoder takes an image.

    Args:
      kind: a number of `headers.KINDS`, int32 [batch].
      ratio: position in `RATIOS`, for JPEGs, int32 [batch].

    Returns:
      int32 [batch], 0 … DECODERS - 1.
    """
    return tf.where(kind == 0, ratio, kind + len(RATIOS) - 1)


def decode(
    encoded: tf.Tensor,
    chosen: tf.Tensor,
    components: tf.Tensor,
    *,
    channels: int,
    background: Colour | None = None,
) -> tf.Tensor:
    """Decodes one JPEG, PNG, BMP, WebP or GIF (its first picture).

    Palettes are looked up, 16-bit samples keep their upper 8 bits, CMYK becomes RGB, and grey and colour become each
    other: grey is repeated, colour is weighted (`luma`).

    Args:
      encoded: string scalar, the bytes of the file.
      chosen: int32 scalar, which decoder.
      components: int32 scalar, colour components of a JPEG.
      channels: 1 or 3.
      background: RGB that transparent pixels are laid on; None drops alpha.

    Returns:
      uint8 [height, width, channels], 0 … 255.

    Raises:
      tf.errors.InvalidArgumentError: when the graph runs on a damaged or truncated file.
    """

    def jpeg(ratio: int) -> Callable[[], tf.Tensor]:
        return lambda: _decode_jpeg(encoded, components, channels, ratio)

    branches = [
        *map(jpeg, RATIOS),
        lambda: _decode_png(encoded, channels, background),
        lambda: _to_channels(tf.io.decode_gif(encoded)[0], 3, channels),
        lambda: _to_channels(_decode_bmp(encoded), 3, channels),
        lambda: _decode_webp(encoded, channels, background),
    ]
    image = _choose(chosen, branches)
    return tf.ensure_shape(image, [None, None, channels])


def _choose(index: tf.Tensor, branches: list[Callable[[], tf.Tensor]]) -> tf.Tensor:
    """The branch of that number, found by halving: TFT's analyzer cache cannot hash `tf.switch_case`."""
    if len(branches) == 1:
        return branches[0]()
    half = len(branches) // 2
    return tf.cond(
        index < half, lambda: _choose(index, branches[:half]), lambda: _choose(index - half, branches[half:])
    )


def _to_channels(image: tf.Tensor, given: int, wanted: int) -> tf.Tensor:
    if given == wanted:
        return image
    return luma(image) if wanted == 1 else tf.repeat(image, 3, axis=-1)


def _decode_jpeg(encoded: tf.Tensor, components: tf.Tensor, channels: int, ratio: int) -> tf.Tensor:
    def by(channels: int) -> tf.Tensor:
        return tf.io.decode_jpeg(encoded, channels=channels, ratio=ratio, dct_method="INTEGER_ACCURATE")

    if channels == 3:
        return by(3)
    # The decoder hands out the luma plane, but makes no grey of CMYK.
    return tf.cond(components == 4, lambda: luma(by(3)), lambda: by(1))


def _decode_png(encoded: tf.Tensor, channels: int, background: Colour | None) -> tf.Tensor:
    if background is None:
        return tf.io.decode_png(encoded, channels=channels)
    colour_type = tf.io.decode_raw(tf.strings.substr(encoded, 25, 1), tf.uint8)[0]
    # The types from 4 on have an alpha channel, and a palette has transparent colours where such a chunk is. TensorFlow
    # makes up a wrong alpha for palettes of less than 8 bits without one.
    palette = tf.strings.substr(encoded, 0, tf.where(colour_type == 3, tf.strings.length(encoded), 0))
    without = tf.strings.regex_replace(palette, "tRNS", "", replace_global=False)
    return tf.cond(
        (colour_type >= 4) | tf.not_equal(palette, without),
        lambda: _to_channels(flatten(tf.io.decode_png(encoded, channels=4), background), 3, channels),
        lambda: tf.io.decode_png(encoded, channels=channels),
    )


def _decode_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """uint8 [h, w, 3]. The fourth byte of 32 bits is padding as a rule; TensorFlow knows no palettes."""

    def looked_up(index: tf.Tensor) -> tf.Tensor:
        header = tf.io.decode_raw(tf.strings.substr(encoded, 14, 4), tf.int32)[0]
        start = tf.io.decode_raw(tf.strings.substr(encoded, 10, 4), tf.int32)[0]
        entries = tf.strings.substr(encoded, 14 + header, start - 14 - header)
        palette = tf.reshape(tf.io.decode_raw(tf.strings.substr(entries, 0, 1024), tf.uint8), [-1, 4])
        return tf.gather(palette[:, 2::-1], tf.cast(index[..., 0], tf.int32))

    image = tf.io.decode_bmp(encoded, channels=0)
    image = tf.cond(tf.shape(image)[-1] == 1, lambda: looked_up(image), lambda: image[..., :3])
    return tf.ensure_shape(image, [None, None, 3])


def _decode_webp(encoded: tf.Tensor, channels: int, background: Colour | None) -> tf.Tensor:
    image = tf.io.decode_webp(encoded, channels=0)[0]
    colours = tf.cond(
        tf.shape(image)[-1] == 4,
        lambda: flatten(tf.ensure_shape(image, [None, None, 4]), background),
        lambda: tf.ensure_shape(image, [None, None, 3]),
    )
    return _to_channels(colours, 3, channels)
