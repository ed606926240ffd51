"""Image operations against Pillow and against what they promise."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.transform.pictures import difference, noise, smooth
from transform import ops
from transform.config import TransformConfig


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orient_agrees_with_pillow(orientation):
    from PIL import ImageOps

    image = Image.fromarray(noise(4, 7))
    image.getexif()[0x0112] = orientation
    assert (
        (ops.orient(tf.constant(noise(4, 7)), tf.constant(orientation)) == np.asarray(ImageOps.exif_transpose(image)))
        .numpy()
        .all()
    )


def test_luma_agrees_with_pillow():
    image = noise(30, 40)
    assert difference(ops.luma(tf.constant(image))[..., 0], Image.fromarray(image).convert("L")) == 0


@pytest.mark.parametrize("background", [(0, 0, 0), (255, 255, 255), (255, 128, 0)])
def test_flatten_agrees_with_pillow(background):
    image = noise(20, 30, 4)
    behind = Image.new("RGBA", (30, 20), (*background, 255))
    expected = Image.alpha_composite(behind, Image.fromarray(image)).convert("RGB")
    assert difference(ops.flatten(tf.constant(image), background), expected) <= 1


def test_flatten_without_a_background_drops_alpha():
    image = noise(5, 6, 4)
    assert (ops.flatten(tf.constant(image), None) == image[..., :3]).numpy().all()


@pytest.mark.parametrize(("size", "expected"), [((10, 30), (10, 10)), ((30, 10), (10, 10)), ((50, 1), (1, 1))])
def test_crop_to_the_aspect_ratio_keeps_as_much_as_it_can(size, expected):
    assert tuple(int(side) for side in ops.cropped_size(*size, "aspect", (20, 20))) == expected


@pytest.mark.parametrize(("share", "expected"), [(0.5, (10, 15)), (0.001, (1, 1))])
def test_crop_to_a_share_keeps_it_of_both_sides(share, expected):
    assert tuple(int(side) for side in ops.cropped_size(20, 30, share, (8, 8))) == expected


def test_crop_of_a_huge_image_does_not_overflow():
    rows, columns = ops.cropped_size(60_000, 65_535, "aspect", (4095, 4096))
    assert (int(rows), int(columns)) == (60_000, 60_014)


@pytest.mark.parametrize(
    ("size", "expected"), [((10, 30), (7, 20)), ((30, 10), (20, 7)), ((1, 5000), (1, 20)), ((3, 3), (20, 20))]
)
def test_fitted_size_keeps_the_aspect_ratio_inside_the_target(size, expected):
    assert tuple(int(side) for side in ops.fitted_size(*map(tf.constant, size), (20, 20))) == expected


def test_area_is_the_mean_of_each_block():
    image = noise(12, 8)
    blocks = image.reshape(4, 3, 4, 2, 3).mean(axis=(1, 3))
    assert np.abs(ops.resize(tf.constant(image), 4, 4, "area").numpy() - blocks).max() <= 0.5 + 1e-3


def test_area_agrees_with_pillow_where_blocks_are_not_whole():
    image = smooth(50, 70)
    expected = Image.fromarray(image).resize((19, 17), Image.Resampling.BOX)
    # Pillow takes or leaves a pixel that a block shares with the next; area takes its part.
    resized = ops.resize(tf.constant(image), 17, 19, "area")
    assert np.abs(resized.numpy().astype(int) - np.asarray(expected).astype(int)).mean() <= 2


def test_area_of_a_box_counts_each_pixel_by_its_share():
    image = noise(9, 11)
    box = (1.25, 0.5, 6.5, 9.0)
    # The same on a grid of quarter pixels, where the edges fall between them.
    fine = image.repeat(4, axis=0).repeat(4, axis=1)[5:31, 2:38].astype(float)
    expected = fine.reshape(13, 2, 12, 3, 3).mean(axis=(1, 3))
    seen = ops.area(tf.constant(image), tf.constant(box), tf.constant(13), tf.constant(12)).numpy()
    assert np.abs(seen - expected).max() <= 0.5 + 1e-3


def test_auto_shrinks_by_area_and_grows_by_bicubic_side_by_side():
    image = tf.constant(smooth(16, 16))

    def resized(height: int, width: int, method: str, of: tf.Tensor = image) -> np.ndarray:
        return ops.resize(of, height, width, method).numpy()

    assert (resized(8, 8, "auto") == resized(8, 8, "area")).all()
    assert (resized(32, 32, "auto") == resized(32, 32, "bicubic")).all()
    narrowed = tf.constant(resized(16, 8, "area"))
    assert (resized(32, 8, "auto") == resized(32, 8, "bicubic", narrowed)).all()


@pytest.mark.parametrize(("method", "filter"), [("bicubic", "BICUBIC"), ("bilinear", "BILINEAR")])
def test_growing_agrees_with_pillow_where_the_image_is_smooth(method, filter):
    image = smooth(40, 40)[:18, :18]
    expected = np.asarray(Image.fromarray(image).resize((36, 36), Image.Resampling[filter])).astype(int)
    resized = ops.resize(tf.constant(image), 36, 36, method).numpy().astype(int)
    assert np.abs(resized - expected)[4:-4, 4:-4].max() <= 2


def test_image_of_the_target_size_passes_unchanged():
    image = noise(8, 8, 1)
    assert (ops.resize(tf.constant(image), 8, 8, "auto").numpy() == image).all()


@pytest.mark.parametrize(("height", "width"), [(3, 8), (8, 5), (1, 1), (8, 8)])
@pytest.mark.parametrize(
    ("filling", "options"),
    [
        ("edge", {"mode": "edge"}),
        ("reflect", {"mode": "reflect"}),
        ((0, 0, 0), {"constant_values": 0}),
        ((255, 255, 255), {"constant_values": 255}),
    ],
)
def test_pad_agrees_with_numpy(height, width, filling, options):
    image = noise(height, width)
    top, left = (8 - height) // 2, (8 - width) // 2
    expected = np.pad(image, [(top, 8 - height - top), (left, 8 - width - left), (0, 0)], **options)
    assert (ops.pad(tf.constant(image), 8, 8, filling).numpy() == expected).all()


def test_pad_with_a_colour_of_grey_images_takes_its_luma():
    padded = ops.pad(tf.zeros([2, 4, 1], tf.uint8), 4, 4, (255, 128, 0)).numpy()
    assert padded[0, 0, 0] == Image.new("RGB", (1, 1), (255, 128, 0)).convert("L").getpixel((0, 0))
    assert not padded[1:3].any()


@pytest.mark.parametrize("channels", [1, 3])
def test_unpack_inverts_pack_in_exactly_one_byte_per_sample(channels):
    config = TransformConfig(height=5, width=7, channels=channels)
    pixels = np.stack([noise(5, 7, channels, seed) for seed in range(4)])
    packed = tf.stack([ops.pack(tf.constant(image)) for image in pixels])
    assert set(tf.strings.length(packed).numpy()) == {5 * 7 * channels}
    assert (ops.unpack(packed, config).numpy() == pixels).all()
