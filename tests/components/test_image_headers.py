"""What is usable: read from the header, never from decoded pixels, and told with a reason."""

import io
import struct
import zlib

import pytest
from PIL import Image

from components.image_example_gen.config import LimitConfig
from components.image_example_gen.headers import Unusable, read_header

LIMITS = LimitConfig()


def encode(mode: str, format: str, size: tuple[int, int] = (30, 20), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes = b"", depth: int = 8) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("mode", "format", "channels", "depth"),
    [
        ("L", "PNG", 1, 8),
        ("1", "PNG", 1, 1),
        ("I;16", "PNG", 1, 16),
        ("RGB", "JPEG", 3, 8),
        ("RGBA", "PNG", 4, 8),
        ("LA", "PNG", 2, 8),
        ("CMYK", "JPEG", 4, 8),
        ("RGB", "BMP", 3, 8),
    ],
)
def test_header_facts(mode, format, channels, depth):
    header = read_header(encode(mode, format), LIMITS)
    assert (header.format, header.height, header.width) == (format, 20, 30)
    assert (header.channels, header.bit_depth, header.orientation) == (channels, depth, 1)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_is_read_from_exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert read_header(encode("RGB", "JPEG", exif=exif), LIMITS).orientation == orientation


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "empty file"),
        (b"a text", "not an image"),
        (encode("RGB", "TIFF"), "unsupported format: TIFF"),
        (b"\x89PNG\r\n\x1a\n", "damaged header: of a PNG"),
        (png(0, 5), "damaged header|zero-sized"),
        (encode("RGB", "JPEG", (300, 300))[:-200], "damaged or truncated"),
        (encode("RGB", "PNG")[:-20], "damaged or truncated"),
        (encode("P", "GIF")[:-30], "damaged or truncated"),
    ],
)
def test_reason_why_a_file_cannot_be_used(encoded, reason):
    with pytest.raises(Unusable, match=reason):
        read_header(encoded, LIMITS)


def test_limits_are_told_before_anything_is_decoded():
    bomb = png(20_000, 20_000, bytes(1000))  # were it decoded, it would be damaged
    with pytest.raises(Unusable, match="too many pixels: 20000 x 20000"):
        read_header(bomb, LIMITS)
    with pytest.raises(Unusable, match="too many bytes"):
        read_header(encode("RGB", "PNG"), LimitConfig(file_bytes=50))


def test_flipped_bit_is_noticed():
    encoded = bytearray(encode("RGB", "PNG", (200, 200)))
    encoded[60] ^= 1
    with pytest.raises(Unusable, match="damaged or truncated"):
        read_header(bytes(encoded), LIMITS)


def test_only_the_first_picture_of_an_animation_counts():
    buffer = io.BytesIO()
    frames = [Image.effect_noise((50, 40), 90).convert("P") for _ in range(5)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert read_header(buffer.getvalue(), LimitConfig(pixels=2000)).width == 50
    with pytest.raises(Unusable, match="too many pixels: 50 x 40"):
        read_header(buffer.getvalue(), LimitConfig(pixels=1999))


def test_kinds_of_bmp_and_webp_that_the_graph_does_not_decode_are_unsupported():
    with pytest.raises(Unusable, match="unsupported format: is a BMP other than"):
        read_header(encode("1", "BMP"), LIMITS)
    frames = [Image.effect_noise((50, 40), 90) for _ in range(2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(Unusable, match="unsupported format: is an animated WebP"):
        read_header(buffer.getvalue(), LIMITS)
    assert read_header(encode("RGB", "WEBP"), LIMITS).format == "WEBP"
    with pytest.raises(Unusable, match="damaged"):
        read_header(encode("RGB", "WEBP")[:-10], LIMITS)
