"""What is known of one image: its raw features without the image itself."""

import hashlib
from collections.abc import Sequence

from PIL import Image

from components.image_example_gen.config import LimitConfig
from components.image_example_gen.headers import Unusable, read_header
from components.image_example_gen.items import Item
from components.image_example_gen.pixels import PERCEPTUAL_HASH, difference_hashes, measure
from transform import features

Fact = bytes | int | float
Facts = dict[str, Fact]
"""Raw features by name, without the image."""
SCALE = 2**32


def describe(
    item: Item,
    limits: LimitConfig,
    pixel_share: float = 0.0,
    near_share: float = 0.0,
    *,
    may_decode: bool = True,
    to_hash: list[tuple[Facts, Image.Image]] | None = None,
) -> Facts:
    """The raw features of one image, from its header and, for a sample, its pixels.

    Args:
      item: the image as it was read.
      limits: what it may cost.
      pixel_share: share of the images whose pixels are measured, 0 … 1.
      near_share: share of the images that get a perceptual hash, 0 … 1.
      may_decode: whether to decode, with TensorFlow, a file whose structure leaves a doubt.
      to_hash: takes what `add_hashes` is to make perceptual hashes of, later and together; None has it done here.

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
    measured, luma = measure(item.encoded, statistics=rank < pixel_share, perceptual=rank < near_share)
    facts |= measured
    if luma is not None and to_hash is not None:
        to_hash.append((facts, luma))
    elif luma is not None:
        add_hashes([(facts, luma)])
    return facts


def add_hashes(to_hash: Sequence[tuple[Facts, Image.Image]]) -> None:
    """Adds the perceptual hash of each grey image to its facts."""
    for (facts, _), found in zip(to_hash, difference_hashes([luma for _, luma in to_hash]), strict=True):
        facts[PERCEPTUAL_HASH] = found
