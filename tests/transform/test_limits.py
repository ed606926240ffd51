"""What is refused, image by image and before anything is decoded."""

import struct
import zlib

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.transform.pictures import encode, noise
from transform.config import TransformConfig
from transform.headers import JPEG_SEGMENTS, read_headers
from transform.reading import read_images

CONFIG = TransformConfig(height=8, width=8, max_bytes=100_000, max_pixels=1_000_000)
PNG, JPEG = encode(noise(10, 10), "PNG"), encode(noise(10, 10), "JPEG")


def status(*encoded: bytes) -> list[str]:
    return [reason.decode() for reason in read_images(tf.constant(encoded), CONFIG)[1].numpy()]


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">L", 13) + header + struct.pack(">L", zlib.crc32(header))


def with_size(encoded: bytes, at: int, layout: str, *numbers: int) -> bytes:
    packed = struct.pack(layout, *numbers)
    return encoded[:at] + packed + encoded[at + len(packed) :]


FRAME = JPEG.index(b"\xff\xc0")
WEBP = encode(noise(10, 10), "WEBP", lossless=True)
HUGE = {
    "PNG": png_header(20_000, 20_000),
    "PNG beyond 2^31 pixels": png_header(2**31 - 1, 2**31 - 1),
    "JPEG": with_size(JPEG, FRAME + 5, ">HH", 20_000, 20_000),
    "GIF": with_size(encode(noise(10, 10)[..., :1], "GIF"), 6, "<HH", 20_000, 20_000),
    "BMP": with_size(encode(noise(10, 10), "BMP"), 18, "<ll", 20_000, -20_000),
    "WebP": with_size(WEBP, 21, "<L", 16_383 | 16_383 << 14),
}


@pytest.mark.parametrize("name", HUGE)
def test_too_many_pixels_are_refused_by_the_header(name):
    [reason] = status(HUGE[name])
    assert reason.endswith("pixels; at most 1000000 in all are taken") or reason == "is a damaged PNG", reason


def test_a_gif_whose_picture_is_larger_than_its_canvas_is_refused():
    encoded = encode(Image.new("P", (10, 10)), "GIF")
    at = encoded.index(b"\x2c\0\0\0\0", 13)
    assert status(with_size(encoded, at + 5, "<HH", 20_000, 20_000)) == [
        "is 20000 x 20000 pixels; at most 1000000 in all are taken"
    ]


def test_too_many_bytes_are_refused():
    assert status(JPEG + bytes(100_000)) == [f"is {len(JPEG) + 100_000} bytes large; at most 100000 are taken"]


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"", "is empty"),
        (b"hello", "is neither a JPEG, PNG, GIF, BMP nor a WebP"),
        (b"\xff\xd8\xff", "is a damaged JPEG"),
        (b"\xff\xd8" + b"\xff" * 5000, "is a damaged JPEG"),
        (b"\xff\xd8" + b"\xff\xe0\0\2" * (JPEG_SEGMENTS + 1) + JPEG[2:], "is a damaged JPEG"),
        (JPEG[:-200], "is a damaged or truncated JPEG"),
        (b"\x89PNG\r\n\x1a\n", "is neither a JPEG, PNG, GIF, BMP nor a WebP"),
        (png_header(0, 5), "is a damaged PNG"),
        (PNG[:-60], "is a damaged or truncated PNG"),
        (encode(noise(10, 10)[..., :1], "GIF")[:-30], "is a damaged GIF"),
        (encode(noise(10, 10), "BMP")[:-60], "is a damaged or truncated BMP"),
        (WEBP[:-60], "is a damaged or truncated WebP"),
        (encode(Image.new("1", (10, 10)), "BMP"), "is a BMP other than uncompressed 8, 24 or 32 bits"),
        (
            encode(Image.fromarray(noise(9, 9)), "WEBP", save_all=True, append_images=[Image.new("RGB", (9, 9))]),
            "is an animated WebP",
        ),
    ],
)
def test_what_cannot_be_read_says_why(encoded, reason):
    assert status(encoded) == [reason]


def test_no_bytes_at_all_raise():
    import numpy as np

    random = np.random.default_rng(0)
    files = [PNG, JPEG, WEBP, encode(noise(10, 10)[..., :1], "GIF"), encode(noise(10, 10), "BMP")]
    mangled = []
    for encoded in files * 40:
        broken = bytearray(encoded[: random.integers(1, len(encoded) + 1)])
        for _ in range(random.integers(1, 8)):
            broken[random.integers(len(broken))] = random.integers(256)
        mangled.append(bytes(broken))
    # Neighbours are read whatever the others are.
    assert status(PNG, *mangled, JPEG)[:: len(mangled) + 1] == ["", ""]


READ = tf.function(read_headers, input_signature=[tf.TensorSpec([None], tf.string)])
EXTENDED = b"RIFF\xff\xff\0\0WEBPVP8X\x0a\0\0\0\x08\0\0\0\x09\0\0\x09\0\0"
CHUNK = st.tuples(
    st.sampled_from([b"eXIf", b"EXIF", b"IDAT", b"\0\0\0\0"]),
    st.integers(0, 20) | st.integers(0, 2**32 - 1),
    st.binary(max_size=20)
    | st.sampled_from([b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0", b"II*\0\xff\xff\xff\xff"]),
)


@given(st.lists(CHUNK, max_size=6))
@settings(deadline=None)
def test_chunks_of_any_name_and_length_are_walked_to_an_end(chunks):
    png = PNG[:33] + b"".join(struct.pack(">L", length) + name + data for name, length, data in chunks)
    webp = EXTENDED + b"".join(name + struct.pack("<L", length) + data for name, length, data in chunks)
    headers = READ(tf.constant([png, webp, PNG]))
    assert set(headers.orientation.numpy()) <= set(range(1, 9))
    assert headers.orientation.numpy()[2] == 1
    assert (headers.width.numpy() == 10).all() and (headers.height.numpy() == 10).all()


@given(
    st.lists(st.sampled_from([JPEG, PNG, WEBP, EXTENDED, b"GIF89a", b"BM"]) | st.binary(max_size=80), max_size=5),
    st.data(),
)
@settings(deadline=None)
def test_headers_of_any_bytes_are_read_without_an_error(encoded, data):
    cut = [one[: data.draw(st.integers(0, len(one)))] for one in encoded]
    headers = READ(tf.constant([*cut, PNG], tf.string))
    pixels = headers.height.numpy().astype(int) * headers.width.numpy()
    assert (pixels >= 0).all() and pixels[-1] == 100


def test_an_empty_batch_is_answered():
    pixels, reasons = read_images(tf.constant([], tf.string), CONFIG)
    assert pixels.shape == reasons.shape == (0,)
