"""One image file → one tf.Example, and the split it belongs to."""

import hashlib
import io
from bisect import bisect

from PIL import Image, UnidentifiedImageError

from transform import features

CHANNELS = {"1": 1, "L": 1, "P": 1, "I": 1, "I;16": 1, "I;16B": 1, "F": 1, "LA": 2, "PA": 2, "RGB": 3, "YCbCr": 3}
FORMATS = ("JPEG", "PNG", "GIF", "BMP")


def split_of(content_hash: str, buckets: dict[str, int]) -> str:
    """The split of an image, by its content alone.

    A copy gets the split of its original, and adding data moves nothing: neither names, order, machine nor
    the other images count.

    Args:
      content_hash: SHA-256 of the encoded bytes, in hexadecimal.
      buckets: number of buckets by split, in the order of the splits.

    Returns:
      The name of the split.
    """
    names, bounds, total = list(buckets), [], 0
    for name in names:
        total += buckets[name]
        bounds.append(total)
    return names[bisect(bounds, int(content_hash, 16) % total)]


def describe(encoded: bytes, label: str, path: str) -> dict[str, bytes | int]:
    """The raw features of one image, from its header; nothing is decoded.

    Raises:
      ValueError: the bytes are no image that the transform can decode; says why.
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            (width, height), mode, kind = image.size, image.mode, image.format or ""
    except UnidentifiedImageError:
        raise ValueError(f"{path}: is neither a JPEG, a PNG, a GIF nor a BMP") from None
    except (OSError, Image.DecompressionBombError, SyntaxError) as error:
        raise ValueError(f"{path}: {error}") from error
    return {
        features.IMAGE: encoded,
        features.LABEL: label.encode(),
        features.CONTENT_HASH: hashlib.sha256(encoded).hexdigest().encode(),
        features.PATH: path.encode(),
        features.HEIGHT: height,
        features.WIDTH: width,
        features.CHANNELS: CHANNELS.get(mode, 4),
        features.FORMAT: kind.encode(),
    }
