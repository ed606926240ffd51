"""What is measured on pixels: statistics for the drift gates and a perceptual hash for near duplicates."""

import io
import math
import struct
import warnings
from collections import defaultdict
from collections.abc import Sequence

import imagehash
import numpy as np
from PIL import Image

from transform import features

PERCEPTUAL_HASH = "perceptual_hash"
HASH_SIDE = 16
"""Bits of a perceptual hash across and down."""
SIDE = 256
"""Longer side of what is measured; a larger image is shrunk first."""
PLAIN_PNG = {bytes((8, 0, 0, 0, 0)): "L", bytes((8, 2, 0, 0, 0)): "RGB"}
"""Pillow's mode by a PNG's bit depth, colour type, compression, filter and interlace."""
SIZES = struct.Struct(">II9xI")
"""Width and height of a PNG and, where that comes next, the length of its data."""
NOTHING = 57
"""Bytes of a PNG with no data: signature, IHDR, and IDAT and IEND of none."""


def measure(encoded: bytes, *, statistics: bool, perceptual: bool) -> tuple[dict[str, float], Image.Image | None]:
    """Measures one image.

    Args:
      encoded: the file; within the limits.
      statistics: whether to return `features.PIXEL_FACTS`.
      perceptual: whether to return the grey image of which `difference_hashes` makes a hash.

    Returns:
      The values by name, and the image; nothing of either when Pillow cannot decode what TensorFlow can.
    """
    if not (statistics or perceptual):
        return {}, None
    try:
        image = small(encoded)
    except Exception:  # Pillow's plugins raise whatever a damaged file makes them
        return {}, None
    luma = image if image.mode == "L" else image.convert("L")
    if not statistics:
        return {}, luma
    pixels = np.asarray(image)
    return pixel_facts(pixels, pixels if luma is image else np.asarray(luma)), luma if perceptual else None


def difference_hashes(images: Sequence[Image.Image]) -> list[bytes]:
    """The 256-bit difference hash of the library imagehash (Krawetz, 2013) of each grey image; 32 bytes.

    Images of one size are shrunk side by side, which changes no pixel and saves most of the time of small ones.
    """
    hashes = [b""] * len(images)
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        alike[image.size].append(index)
    for indices in alike.values():
        if len(indices) == 1:
            bits = imagehash.dhash(images[indices[0]], HASH_SIDE).hash[None]
        else:
            shrunk = shrink([images[index] for index in indices], HASH_SIDE + 1, HASH_SIDE)
            bits = shrunk[:, :, 1:] > shrunk[:, :, :-1]
        for index, packed in zip(indices, np.packbits(bits.reshape(len(indices), -1), axis=1), strict=True):
            hashes[index] = packed.tobytes()
    return hashes


def shrink(images: Sequence[Image.Image], width: int, height: int) -> np.ndarray:
    """Grey images of one size → uint8 [n, height, width], as Pillow resizes each, first across and then down."""
    count, rows = len(images), images[0].height
    pile = Image.frombytes("L", (images[0].width, rows * count), b"".join(image.tobytes() for image in images))
    narrow = np.asarray(pile.resize((width, rows * count), Image.Resampling.LANCZOS)).reshape(count, rows, width)
    row = Image.fromarray(narrow.transpose(1, 0, 2).reshape(rows, count * width))
    low = np.asarray(row.resize((count * width, height), Image.Resampling.LANCZOS))
    return low.reshape(height, count, width).transpose(1, 0, 2)


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


def pixel_facts(pixels: np.ndarray, luma: np.ndarray) -> dict[str, float]:
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
