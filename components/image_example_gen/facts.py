"""What is known of one image: its raw features without the image itself."""

import hashlib

from components.image_example_gen.config import LimitConfig
from components.image_example_gen.headers import Unusable, read_header
from components.image_example_gen.items import Item
from components.image_example_gen.pixels import measure
from transform import features

Fact = bytes | int | float
Facts = dict[str, Fact]
"""Raw features by name, without the image."""
SCALE = 2**32


def describe(
    item: Item, limits: LimitConfig, pixel_share: float = 0.0, near_share: float = 0.0, *, may_decode: bool = True
) -> Facts:
    """The raw features of one image, from its header and, for a sample, its pixels.

    Args:
      item: the image as it was read.
      limits: what it may cost.
      pixel_share: share of the images whose pixels are measured, 0 … 1.
      near_share: share of the images that get a perceptual hash, 0 … 1.
      may_decode: whether to decode, with TensorFlow, a file whose structure leaves a doubt.

    Raises:
      Unusable: it is no image that the transform can decode; says why.
      Doubtful: it would have to be decoded.
    """
    if item.trouble:
        raise Unusable(item.trouble)
    header = read_header(item.encoded, limits, may_decode=may_decode)
    content_hash = hashlib.sha256(item.encoded).hexdigest()
    # Of the hash's end: its beginning decides nothing else, and a sample must not depend on the other images.
    rank = int(content_hash[-8:], 16) / SCALE
    facts: Facts = {
        features.LABEL: item.label.encode(),
        features.CONTENT_HASH: content_hash.encode(),
        features.PATH: item.path.encode(errors="surrogateescape"),
        features.HEIGHT: header.height,
        features.WIDTH: header.width,
        features.CHANNELS: header.channels,
        features.BIT_DEPTH: header.bit_depth,
        features.ORIENTATION: header.orientation,
        features.FORMAT: header.format.encode(),
        features.FILE_BYTES: len(item.encoded),
    }
    if item.group:
        facts[features.GROUP] = item.group.encode()
    return facts | measure(item.encoded, statistics=rank < pixel_share, perceptual=rank < near_share)
