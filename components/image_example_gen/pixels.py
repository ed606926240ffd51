"""What is measured on pixels: statistics for the drift gates and a perceptual hash for near duplicates."""

import io
import math
import struct
import warnings

import imagehash
import numpy as np
from PIL import Image

from transform import features

PERCEPTUAL_HASH = "perceptual_hash"
SIDE = 256
"""Longer side of what is measured; a larger image is shrunk first."""
PLAIN_PNG = {bytes((8, 0, 0, 0, 0)): "L", bytes((8, 2, 0, 0, 0)): "RGB"}
"""Pillow's mode by a PNG's bit depth, colour type, compression, filter and interlace."""
SIZES = struct.Struct(">II9xI")
"""Width and height of a PNG and, where that comes next, the length of its data."""
NOTHING = 57
"""Bytes of a PNG with no data: signature, IHDR, and IDAT and IEND of none."""


def measure(encoded: bytes, *, statistics: bool, perceptual: bool) -> dict[str, float | bytes]:
    """Measures one image.

    Args:
      encoded: the file; within the limits.
      statistics: whether to return `features.PIXEL_FACTS`.
      perceptual: whether to return PERCEPTUAL_HASH, 256 bits.

    Returns:
      The values by name; {} when Pillow cannot decode what TensorFlow can.
    """
    if not (statistics or perceptual):
        return {}
    try:
        image = small(encoded)
    except Exception:  # Pillow's plugins raise whatever a damaged file makes them
        return {}
    found: dict[str, float | bytes] = {}
    luma = image if image.mode == "L" else image.convert("L")
    if statistics:
        pixels = np.asarray(image)
        found |= pixel_facts(pixels, pixels if luma is image else np.asarray(luma))
    if perceptual:
        found[PERCEPTUAL_HASH] = np.packbits(imagehash.dhash(luma, hash_size=16).hash).tobytes()
    return found


def small(encoded: bytes) -> Image.Image:
    """The image as grey or RGB, at most SIDE x SIDE; a JPEG is decoded at a scale near that."""
    image = plain_png(encoded) or any_image(encoded)
    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return image


def plain_png(encoded: bytes) -> Image.Image | None:
    """A PNG of 8-bit grey or RGB with nothing but its pixels, at a fifth of Pillow's own cost for a small one.

    Its checksums were compared when its header was read.
    """
    mode = PLAIN_PNG.get(encoded[24:29], "")
    if not mode or len(encoded) < NOTHING or encoded[37:41] != b"IDAT":
        return None
    width, height, length = SIZES.unpack_from(encoded, 16)
    if len(encoded) != NOTHING + length or encoded[-8:-4] != b"IEND":
        return None
    try:
        return Image.frombytes(mode, (width, height), encoded[41 : 41 + length], "zip", mode)
    except ValueError:
        return None


def any_image(encoded: bytes) -> Image.Image:
    """Whatever Pillow can decode, as grey or RGB."""
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(encoded)) as opened:
        opened.draft("RGB" if opened.mode == "RGB" else "L", (SIDE, SIDE))
        opened.load()
        image = eight_bit(opened) if opened.mode.startswith(("I", "F")) else opened
        return image.convert("L" if image.mode in ("1", "L") else "RGB")


def eight_bit(image: Image.Image) -> Image.Image:
    """The upper 8 bits of 16-bit grey."""
    values = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
    return Image.fromarray((values >> 8).astype(np.uint8))


def pixel_facts(pixels: np.ndarray, luma: np.ndarray) -> dict[str, float | bytes]:
    """`features.PIXEL_FACTS` of uint8 [h, w] or [h, w, 3] and its luma, uint8 [h, w]."""
    values = luma.astype(np.float64)
    brightness, contrast = mean_and_deviation(values)
    red, green, blue = [brightness] * 3 if pixels.ndim == 2 else pixels.mean(axis=(0, 1)).tolist()
    return {
        features.BRIGHTNESS: brightness,
        features.CONTRAST: contrast,
        features.SHARPNESS: sharpness(values),
        features.MEAN_RED: red,
        features.MEAN_GREEN: green,
        features.MEAN_BLUE: blue,
    }


def sharpness(luma: np.ndarray) -> float:
    """Standard deviation of the Laplacian of float64 [h, w]; 0 where a side is below 3."""
    if min(luma.shape) < 3:
        return 0.0
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1]
    laplacian += luma[1:-1, :-2]
    laplacian += luma[1:-1, 2:]
    laplacian -= 4 * luma[1:-1, 1:-1]
    return mean_and_deviation(laplacian)[1]


def mean_and_deviation(values: np.ndarray) -> tuple[float, float]:
    """Of integers as float64, whose sums are exact: a third of the time of NumPy's own for a small image."""
    flat = values.ravel()
    mean = float(flat.sum()) / flat.size
    return mean, math.sqrt(max(float(flat @ flat) / flat.size - mean * mean, 0.0))
