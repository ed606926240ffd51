"""Image operations against Pillow, an implementation of its own."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from transform import ops
from transform.config import TransformConfig

random = np.random.default_rng(0)


def picture(height: int, width: int, channels: int) -> np.ndarray:
    """A smooth image with an edge in it, uint8 [height, width, channels]."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [np.sin(rows / (5 + c)) * 60 + np.cos(columns / (7 - c)) * 60 + 128 for c in range(channels)]
    image = np.stack(planes, axis=-1)
    image[height // 2 :, width // 2 :] = 230
    return image.astype(np.uint8)


def encode(array: np.ndarray, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array.squeeze()).save(buffer, format=format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["PNG", "BMP", "JPEG", "GIF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_decode_agrees_with_pillow(format, channels):
    encoded = encode(picture(40, 31, 3), format)
    mode = "L" if channels == 1 else "RGB"
    expected = np.asarray(Image.open(io.BytesIO(encoded)).convert(mode)).reshape(40, 31, channels)
    decoded = ops.decode(tf.constant(encoded), channels).numpy()
    # Different JPEG decoders and colour → grey roundings differ by a few levels; the lossless formats by one.
    tolerance = 4 if format == "JPEG" else 1
    assert np.abs(decoded.astype(int) - expected.astype(int)).max() <= tolerance


def test_grey_png_is_decoded_unchanged():
    image = picture(9, 9, 1)
    assert (ops.decode(tf.constant(encode(image, "PNG")), 1).numpy() == image).all()


def test_alpha_is_dropped():
    image = np.dstack([picture(8, 8, 3), np.full((8, 8), 100, np.uint8)])
    assert (ops.decode(tf.constant(encode(image, "PNG")), 3).numpy() == image[..., :3]).all()


def test_no_image_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError):
        ops.decode(tf.constant(b"not an image"), 3)


@pytest.mark.parametrize(("height", "width"), [(10, 30), (30, 10), (7, 7), (1, 50)])
def test_pad_keeps_the_image_in_the_middle_of_black(height, width):
    image = picture(height, width, 3)
    padded = ops.pad_to_aspect(tf.constant(image), 20, 20).numpy()
    side = max(height, width)
    assert padded.shape == (side, side, 3)
    top, left = (side - height) // 2, (side - width) // 2
    assert (padded[top : top + height, left : left + width] == image).all()
    assert padded.sum(dtype=np.int64) == image.sum(dtype=np.int64)


@pytest.mark.parametrize(("height", "width", "expected"), [(10, 30, (10, 10)), (30, 10, (10, 10)), (50, 1, (1, 1))])
def test_crop_takes_the_middle(height, width, expected):
    image = picture(height, width, 1)
    cropped = ops.crop_to_aspect(tf.constant(image), 20, 20).numpy()
    assert cropped.shape[:2] == expected
    top, left = (height - expected[0]) // 2, (width - expected[1]) // 2
    assert (cropped == image[top : top + expected[0], left : left + expected[1]]).all()


def test_pad_to_wide_target_meets_its_aspect_ratio():
    assert ops.pad_to_aspect(tf.zeros([30, 30, 3], tf.uint8), 10, 20).shape[:2] == (30, 60)


def test_area_is_the_mean_of_each_block():
    image = random.integers(0, 256, (12, 8, 3), dtype=np.uint8)
    blocks = image.reshape(4, 3, 4, 2, 3).mean(axis=(1, 3))
    resized = ops.resize(tf.constant(image), 4, 4, "area").numpy()
    assert np.abs(resized - blocks).max() <= 0.5 + 1e-3


def test_auto_shrinks_by_area_and_grows_by_bicubic():
    image = tf.constant(picture(16, 16, 3))
    assert (ops.resize(image, 8, 8, "auto").numpy() == ops.resize(image, 8, 8, "area").numpy()).all()
    assert (ops.resize(image, 32, 32, "auto").numpy() == ops.resize(image, 32, 32, "bicubic").numpy()).all()


def test_bicubic_agrees_with_pillow_where_the_image_is_smooth():
    image = picture(40, 40, 3)[:18, :18]
    expected = np.asarray(Image.fromarray(image).resize((36, 36), Image.Resampling.BICUBIC)).astype(int)
    resized = ops.resize(tf.constant(image), 36, 36, "bicubic").numpy().astype(int)
    inner = np.abs(resized - expected)[4:-4, 4:-4]
    assert inner.max() <= 2


def test_image_of_the_target_size_passes_unchanged():
    image = random.integers(0, 256, (8, 8, 1), dtype=np.uint8)
    assert (ops.resize(tf.constant(image), 8, 8, "auto").numpy() == image).all()


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 3), (17, 23)])
def test_every_size_becomes_the_target_size(fit, size):
    config = TransformConfig(height=24, width=16, channels=3, fit=fit)
    pixels = ops.to_pixels(tf.constant(encode(random.integers(0, 256, (*size, 3), dtype=np.uint8), "PNG")), config)
    assert pixels.shape == (24, 16, 3) and pixels.dtype == tf.uint8


@pytest.mark.parametrize("channels", [1, 3])
def test_unpack_inverts_pack_in_exactly_one_byte_per_sample(channels):
    config = TransformConfig(height=5, width=7, channels=channels)
    pixels = random.integers(0, 256, (4, 5, 7, channels), dtype=np.uint8)
    packed = tf.stack([ops.pack(tf.constant(image)) for image in pixels])
    assert set(tf.strings.length(packed).numpy()) == {5 * 7 * channels}
    assert (ops.unpack(packed, config).numpy() == pixels).all()
