"""Reading images of all kinds in the graph, against Pillow."""

import functools
import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.transform.pictures import difference, encode, noise, photo, psnr, read, smooth, turned
from transform import ops
from transform.config import TransformConfig
from transform.headers import KINDS, read_headers
from transform.reading import read_images, reduction


def pixels(encoded: bytes, channels: int = 3, **settings: object) -> np.ndarray:
    """What the graph makes of one image, by default at its own size."""
    if "height" not in settings:
        settings |= dict(zip(("width", "height"), Image.open(io.BytesIO(encoded)).size, strict=True))
    config = TransformConfig(channels=channels, **settings)
    packed, status = read_images(tf.constant([encoded]), config)
    assert status.numpy() == [b""]
    return ops.unpack(packed, config)[0].numpy()


IMAGE, ALPHA = smooth(41, 30), noise(20, 30, 4)
FILES = {
    "JPEG": encode(IMAGE, "JPEG", quality=90),
    "JPEG, progressive": encode(IMAGE, "JPEG", quality=90, progressive=True),
    "JPEG, grey": encode(IMAGE[..., :1], "JPEG", quality=90),
    "JPEG, full chroma": encode(IMAGE, "JPEG", quality=90, subsampling=0),
    "JPEG with comments": encode(IMAGE, "JPEG", quality=90, comment=b"x" * 60_000, icc_profile=b"y" * 200_000),
    "PNG": encode(IMAGE, "PNG"),
    "PNG, grey": encode(IMAGE[..., :1], "PNG"),
    "PNG, palette": encode(Image.fromarray(IMAGE).quantize(200), "PNG"),
    "PNG, 4 colours": encode(Image.fromarray(IMAGE).quantize(4), "PNG", bits=2),
    "PNG, black and white": encode(Image.fromarray(IMAGE).convert("1"), "PNG"),
    "GIF": encode(Image.fromarray(IMAGE).quantize(200), "GIF"),
    "GIF, interlaced": encode(Image.fromarray(IMAGE).quantize(200), "GIF", interlace=1),
    "BMP": encode(IMAGE, "BMP"),
    "BMP, palette": encode(Image.fromarray(IMAGE).quantize(200), "BMP"),
    "BMP, grey": encode(IMAGE[..., :1], "BMP"),
    "BMP, 32 bits": encode(Image.fromarray(noise(20, 30, 4)), "BMP"),
    "WebP": encode(IMAGE, "WEBP", quality=90),
    "WebP, lossless": encode(IMAGE, "WEBP", lossless=True),
    "WebP, extended": encode(IMAGE, "WEBP", lossless=True, icc_profile=b"y" * 100),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", FILES)
def test_decode_agrees_with_pillow(name, channels):
    # JPEG: two decoders round differently, and grey is the stored luma. libpng weighs colours by a rule of its own.
    tolerance = 3 if name.startswith("JPEG") else 1 if name.startswith(("WebP", "PNG")) else 0
    assert difference(pixels(FILES[name], channels), read(FILES[name], channels)) <= tolerance


@pytest.mark.parametrize("channels", [1, 3])
def test_cmyk_becomes_colour_and_grey(channels):
    encoded = encode(Image.fromarray(IMAGE).convert("CMYK"), "JPEG", quality=95)
    assert difference(pixels(encoded, channels), read(encoded, channels)) <= 9, "chroma is enlarged differently"


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_keep_the_upper_8(channels):
    values = np.random.default_rng(0).integers(0, 2**16, (20, 30, channels), dtype=np.uint16)
    encoded = tf.io.encode_png(values).numpy()
    assert encoded[24] == 16
    assert (pixels(encoded, channels) == values >> 8).all()


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_transparency_is_laid_on_the_colour_that_is_asked_for(format, channels):
    encoded = encode(Image.fromarray(ALPHA), format, **({"lossless": True, "exact": True} if format == "WEBP" else {}))
    for colour in ("black", "white"):
        behind = Image.new("RGBA", (30, 20), colour)
        expected = Image.alpha_composite(behind, Image.fromarray(ALPHA)).convert("L" if channels == 1 else "RGB")
        seen = pixels(encoded, channels, steps=[f"flatten({colour})", "resize"]).squeeze()
        assert difference(seen, expected) <= 1
    dropped = pixels(encoded, channels, steps=["resize"])
    assert difference(dropped.squeeze(), Image.fromarray(ALPHA[..., :3]).convert("L" if channels == 1 else "RGB")) <= 1


def test_grey_with_alpha_and_transparent_palettes_are_flattened_too():
    grey = encode(Image.fromarray(ALPHA[..., :2], "LA"), "PNG")
    palette = encode(Image.fromarray(IMAGE).quantize(16), "PNG", transparency=3)
    for encoded in (grey, palette):
        image = Image.open(io.BytesIO(encoded)).convert("RGBA")
        expected = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        assert difference(pixels(encoded, steps=["flatten(white)", "resize"]), expected) <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("endian", ["<", ">"])
def test_exif_orientation_is_followed(orientation, endian):
    encoded = turned(IMAGE, orientation, quality=95)
    if endian == "<":
        # Pillow writes the camera's order; the other one is as common.
        tiff = struct.pack("<2sHLHHHLHHL", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
        encoded = encode(IMAGE, "JPEG", exif=b"Exif\0\0" + tiff, quality=95)
    expected = read(encoded, oriented=True)
    assert expected.shape == ((41, 30, 3) if orientation < 5 else (30, 41, 3))
    assert difference(pixels(encoded, height=expected.shape[0], width=expected.shape[1]), expected) <= 3
    ignored = pixels(encoded, height=41, width=30, steps=["resize"])
    assert difference(ignored, read(encoded)) <= 3, "without the step, pixels stay as they are stored"


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_other_formats_is_followed(format, orientation):
    plain = turned(IMAGE, orientation, format, **({"lossless": True} if format == "WEBP" else {}))
    variants = [plain]
    if format == "PNG":
        # The specification lets it come behind the pixels, too.
        at = plain.index(b"eXIf") - 4
        chunk = plain[at : at + 12 + int.from_bytes(plain[at : at + 4], "big")]
        variants.append(plain[:at] + plain[at + len(chunk) : -12] + chunk + plain[-12:])
    for encoded in variants:
        expected = read(encoded, oriented=True)
        assert expected.shape == ((41, 30, 3) if orientation < 5 else (30, 41, 3))
        assert (pixels(encoded, height=expected.shape[0], width=expected.shape[1]) == expected).all()


def test_the_letters_of_a_chunk_within_the_pixels_are_no_chunk():
    encoded = encode(noise(20, 30), "PNG", compress_level=0)
    # Stored as it is, the noise can hold anything.
    at = encoded.index(b"IDAT") + 40
    broken = encoded[:at] + b"eXIfMM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0" + encoded[at + 31 :]
    assert read_headers(tf.constant([broken])).orientation.numpy() == [1]


def test_only_the_first_picture_of_an_animation_is_read():
    frames = [Image.fromarray(noise(20, 30, seed=seed)).quantize(64) for seed in range(5)]
    encoded = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"hello" * 200)
    assert (pixels(encoded) == read(encoded)).all()
    [end] = read_headers(tf.constant([encoded])).end.numpy()
    assert end < len(encoded) / 2, "the other frames never reach the decoder"


@pytest.mark.parametrize("fit", [["resize", "pad"], ["resize", "pad(reflect)"], ["crop", "resize"], ["resize"]])
@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (17, 23), (1, 2000)])
def test_every_size_becomes_the_target_size(fit, size):
    encoded = encode(noise(*size), "PNG")
    assert pixels(encoded, height=24, width=16, steps=fit).shape == (24, 16, 3)


def test_steps_are_done_in_their_order():
    image = noise(40, 60)
    seen = pixels(encode(image, "PNG"), height=20, width=20, steps=["crop(0.5)", "crop", "resize", "pad"])
    assert (seen == image[10:30, 20:40]).all()


def test_padded_image_stands_in_the_middle_of_its_colour():
    seen = pixels(encode(np.full((10, 20, 3), 7, np.uint8), "PNG"), height=20, width=20, steps=["resize", "pad(white)"])
    assert (seen[5:15] == 7).all() and (seen[:5] == 255).all() and (seen[15:] == 255).all()


@functools.cache
def large_photo(height: int, width: int) -> tuple[bytes, np.ndarray]:
    encoded = encode(photo(height, width), "JPEG", quality=90)
    full = tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE")
    return encoded, full.numpy()


@pytest.mark.parametrize("size", [(1500, 2000), (1499, 1997)])
@pytest.mark.parametrize("side", [113, 200, 448])
def test_reduced_decoding_is_as_good_as_full_decoding_then_area(size, side):
    encoded, full = large_photo(*size)
    for steps, cut in ((["resize"], full), (["crop", "resize"], full[:, (size[1] - size[0]) // 2 :][:, : size[0]])):
        height = side * 3 // 4 if steps == ["resize"] else side
        expected = ops.resize(tf.constant(cut), height, side, "area").numpy()
        assert psnr(pixels(encoded, height=height, width=side, steps=steps), expected) >= 39


def test_reduced_images_are_turned_and_padded_like_others():
    stored = photo(1200, 1603)
    plain, turned_right = encode(stored, "JPEG"), turned(stored, 6)
    upright = pixels(plain, height=100, width=100, steps=["orient", "resize", "pad(white)"])
    seen = pixels(turned_right, height=100, width=100, steps=["orient", "resize", "pad(white)"])
    assert difference(np.rot90(upright, -1)[:, 13:88], seen[:, 12:87]) <= 1


def test_the_strongest_reduction_that_leaves_the_margin_is_taken():
    sides = tf.constant([224, 492, 493, 985, 986, 1971, 1972, 4000])
    target = tf.fill([8], 112)

    def chosen(kind: int, interpolation: str) -> list[int]:
        return reduction(tf.fill([8], kind), sides, sides, target, target, interpolation).numpy().tolist()

    assert chosen(0, "auto") == [0, 0, 1, 1, 2, 2, 3, 3]
    assert chosen(0, "bicubic") == chosen(1, "auto") == [0] * 8, "only averages of JPEGs start from averages"


def test_headers_say_what_pillow_says():
    encoded = [*FILES.values(), turned(IMAGE, 6)]
    headers = read_headers(tf.constant(encoded))
    for index, file in enumerate(encoded):
        image = Image.open(io.BytesIO(file))
        assert KINDS[headers.kind[index]].upper() == image.format
        assert (headers.width[index], headers.height[index]) == image.size
    assert headers.orientation.numpy().tolist() == [1] * len(FILES) + [6]
