"""What a file's header says, and whether the file is one that the serving graph can decode.

Nothing is decoded unless the structure of the file leaves a doubt, and then only below the limits: a decompression
bomb costs no memory.
"""

import io
import re
import struct
import warnings
import zlib
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from components.image_example_gen.config import LimitConfig
from transform.config import TransformConfig

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
"""What the transform's graph decodes."""
CHANNELS = {
    "1": 1, "L": 1, "P": 1, "I": 1, "I;16": 1, "I;16B": 1, "F": 1, "LA": 2, "PA": 2, "RGB": 3, "YCbCr": 3,
}  # fmt: skip
"""Channels by Pillow's mode; 4 for every other."""
PNG = b"\x89PNG\r\n\x1a\n"
SIGNATURES = {b"\xff\xd8\xff": "JPEG", PNG: "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF", b"BM": "BMP"}
PLAIN_CHUNKS = frozenset((b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"))
"""Chunks of a PNG whose checksums are all there is to check."""
PLAIN_PNG = {
    (1, 0): 1, (2, 0): 1, (4, 0): 1, (8, 0): 1, (1, 3): 1, (2, 3): 1, (4, 3): 1, (8, 3): 1, (8, 4): 2, (8, 2): 3,
    (8, 6): 4,
}  # fmt: skip
"""Channels by bit depth and colour type."""
CHUNK = struct.Struct(">I4s")
"""Length and kind."""
CHECKSUM = struct.Struct(">I")
IHDR = struct.Struct(">I4sIIBBBBB")
"""Length, kind, width, height, bit depth, colour type, compression, filter, interlace."""
ORIENTATION_TAG = 0x0112
LARGEST = 2**31 - 1
"""The limits were checked before; the graph is to say nothing of its own."""


class Unusable(ValueError):
    """A file that cannot be trained on; the message is one of the reasons of `quarantine`, and a colon with more."""


class Doubtful(Exception):
    """A file that has to be decoded before one knows."""


class Header(NamedTuple):
    """The facts of a header."""

    format: str
    """One of FORMATS."""
    height: int
    """Pixels."""
    width: int
    """Pixels."""
    channels: int
    """1 (grey or palette), 2 (grey + alpha), 3 (RGB) or 4 (RGB + alpha, CMYK)."""
    bit_depth: int
    """Bits per sample, 1 … 16."""
    orientation: int
    """EXIF's, 1 … 8."""


def read_header(encoded: bytes, limits: LimitConfig, *, may_decode: bool = True) -> Header:
    """The header of an encoded image that is within the limits and whole.

    Raises:
      Unusable: says why.
      Doubtful: only decoding would tell, and it may not.
    """
    if not encoded:
        raise Unusable("empty file")
    if len(encoded) > limits.file_bytes:
        raise Unusable(f"too many bytes: more than data.limits.file_bytes, {limits.file_bytes:,}")
    plain = parse_plain_png(encoded)
    header = plain or parse(encoded)
    pixels = header.height * header.width
    if not pixels:
        raise Unusable(f"zero-sized: {header.width} x {header.height} pixels")
    if pixels > limits.pixels:
        raise Unusable(
            f"too many pixels: {header.width} x {header.height}, and data.limits.pixels is {limits.pixels:,}"
        )
    if not (plain or is_whole(encoded, header.format)):
        if not may_decode:
            raise Doubtful
        decode(encoded)
    return header


def parse_plain_png(encoded: bytes) -> Header | None:
    """The header of a whole PNG without anything special, as `parse` and `is_whole` find it at four times the cost.

    None leaves it to them.
    """
    chunks = png_chunks(encoded)
    if not chunks or not PLAIN_CHUNKS.issuperset(kind for kind, _, _ in chunks):
        return None
    length, kind, width, height, depth, colour, *method = IHDR.unpack_from(encoded, 8)
    channels = PLAIN_PNG.get((depth, colour))
    if (length, kind) != (13, b"IHDR") or not (channels and width and height) or method not in ([0, 0, 0], [0, 0, 1]):
        return None
    return Header("PNG", height, width, channels, depth, 1)


def parse(encoded: bytes) -> Header:
    """Reads the header, whatever it says.

    Raises:
      Unusable: it is none of an image the graph decodes.
    """
    kind = signature(encoded)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            kind, (width, height), mode = image.format or "", image.size, image.mode
            orientation = orientation_of(image)
    except UnidentifiedImageError:
        raise Unusable(f"damaged header: of a {kind}" if kind else other_format(encoded)) from None
    except Image.DecompressionBombError as error:  # above twice its own limit, the highest that data.limits allows
        found = re.search(r"\((\d+) pixels\)", str(error))
        raise Unusable(f"too many pixels: {int(found.group(1)):,}" if found else "too many pixels") from None
    except Exception as error:  # Pillow's plugins raise whatever a damaged file makes them
        raise Unusable(f"damaged header: {error}") from error
    kind = "JPEG" if kind == "MPO" else kind  # a JPEG with further pictures behind the first
    return Header(kind, height, width, CHANNELS.get(mode, 4), bit_depth(encoded, kind), orientation)


def signature(encoded: bytes) -> str:
    """The format by the first bytes; "" when it is none of FORMATS."""
    if encoded.startswith(b"RIFF") and encoded[8:12] == b"WEBP":
        return "WEBP"
    return next((kind for magic, kind in SIGNATURES.items() if encoded.startswith(magic)), "")


def other_format(encoded: bytes) -> str:
    """What a file is that is none of FORMATS."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(encoded)) as image:
            return f"unsupported format: {image.format}; readable are {', '.join(FORMATS)}"
    except Image.DecompressionBombError:
        return f"unsupported format: with too many pixels; readable are {', '.join(FORMATS)}"
    except Exception:  # as above
        return "not an image"


def orientation_of(image: Image.Image) -> int:
    """EXIF's orientation; 1 where there is none or it is nonsense."""
    if "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # damaged metadata do not make the image unusable
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def bit_depth(encoded: bytes, kind: str) -> int:
    """Bits per sample (per index, with a palette)."""
    if kind == "PNG":
        return encoded[24]
    if kind == "GIF":
        return (encoded[10] & 7) + 1
    if kind == "BMP":
        return 8
    return 8  # what TensorFlow decodes of JPEG


def is_whole(encoded: bytes, kind: str) -> bool:
    """Whether the structure alone shows that the file is complete and undamaged; False is a doubt, not a verdict."""
    if kind == "PNG":
        return is_whole_png(encoded)
    if kind == "WEBP":
        animated = encoded[12:16] == b"VP8X" and encoded[20] & 2
        return not animated and int.from_bytes(encoded[4:8], "little") + 8 <= len(encoded)
    return kind == "JPEG" and encoded.endswith(b"\xff\xd9") and has_clean_segments(encoded)


def has_clean_segments(encoded: bytes) -> bool:
    """Whether a JPEG's segments follow each other without junk up to its frame header."""
    position = 2
    while position + 4 <= len(encoded) and encoded[position] == 0xFF:
        marker = encoded[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return True
        if marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xDA:
            return False
        position += 2 + int.from_bytes(encoded[position + 2 : position + 4])
    return False


def is_whole_png(encoded: bytes) -> bool:
    """Whether every chunk of a PNG has its checksum and the last one is there."""
    return bool(png_chunks(encoded))


def png_chunks(encoded: bytes) -> list[tuple[bytes, int, int]]:
    """(kind, start, end) of the data of each chunk of a whole and undamaged PNG; empty when it is none."""
    if not encoded.startswith(PNG):
        return []
    position, view, chunks, data = len(PNG), memoryview(encoded), [], 0
    while position + 12 <= len(encoded):
        length, kind = CHUNK.unpack_from(encoded, position)
        start = position + 8
        end = start + length
        if end + 4 > len(encoded) or CHECKSUM.unpack_from(encoded, end)[0] != zlib.crc32(view[start - 4 : end]):
            return []
        position = end + 4
        chunks.append((kind, start, end))
        data += length if kind == b"IDAT" else 0
        if kind == b"IEND":
            return chunks if data else []
    return []


def decode(encoded: bytes) -> None:
    """Decodes as the serving graph does.

    Raises:
      Unusable: it cannot.
    """
    import tensorflow as tf

    from transform.reading import read_images

    small = TransformConfig(height=8, width=8, max_bytes=LARGEST, max_pixels=LARGEST)
    _, status = read_images(tf.constant([encoded]), small)
    if said := status.numpy()[0].decode():
        raise Unusable(f"{'damaged or truncated' if 'damaged' in said else 'unsupported format'}: {said}")
