"""Augmentation: what each change does, and that its draws depend on seed and step alone."""

import numpy as np
import pytest
import tensorflow as tf

from trainer_module import feeding, randaugment
from trainer_module.augmentation import augmentation, augmented
from trainer_module.augmentation_config import AugmentationConfig
from trainer_module.feeding import Augment

EVERY_CHANGE = {
    "flip": "both",
    "rotation": 30,
    "translation": 0.2,
    "zoom": 0.3,
    "shear": 15,
    "brightness": 0.3,
    "contrast": 0.5,
    "saturation": 0.5,
    "hue": 0.2,
    "noise": 0.1,
    "cutout": 0.5,
    "randaugment_operations": 2,
    "mixup": 0.3,
    "cutmix": 1.0,
}


@pytest.fixture(scope="module")
def batch() -> tuple[tf.Tensor, tf.Tensor]:
    """16 colour images of 12 × 10 pixels in 4 classes."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (16, 12, 10, 3), dtype=np.uint8)
    return tf.constant(pixels), tf.one_hot(np.arange(16) % 4, 4)


@pytest.mark.parametrize("name", EVERY_CHANGE)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_change_alone_changes_most_images_and_keeps_shape_and_type(batch, name, channels):
    pixels, labels = batch[0][..., :channels], batch[1]
    config = AugmentationConfig(**{name: EVERY_CHANGE[name]})
    changed, new_labels = augmented(pixels, labels, config, seed=1, step=0)
    assert changed.dtype == tf.uint8 and changed.shape == pixels.shape
    assert tf.reduce_sum(new_labels, axis=1).numpy() == pytest.approx(1, abs=1e-5)
    different = (changed.numpy() != pixels.numpy()).any(axis=(1, 2, 3)).mean()
    assert different == 0 if channels == 1 and name in ("saturation", "hue") else different > 0.4
    assert ((new_labels.numpy() != labels.numpy()).any()) == (name in ("mixup", "cutmix"))


def test_a_resumed_training_sees_the_very_images_it_would_have_seen(split):
    changes = {name: value for name, value in EVERY_CHANGE.items() if name not in ("saturation", "hue")}
    change = augmentation(AugmentationConfig(**changes), seed=7)

    def fed(first_step: int, augment: Augment | None) -> list[tuple[np.ndarray, np.ndarray]]:
        batches = feeding.feed(split, 10, feeder="memory", seed=7, first_step=first_step, augment=augment)
        return list(batches.take(6 - first_step).as_numpy_iterator())

    whole, plain, other = fed(0, change), fed(0, None), fed(0, augmentation(AugmentationConfig(**changes), seed=8))
    for expected, got in zip(whole[3:], fed(3, change), strict=True):
        assert (expected[0] == got[0]).all() and (expected[1] == got[1]).all()
    assert all((one[0] != two[0]).any() for one, two in zip(whole, plain, strict=True))
    assert all((one[0] != two[0]).any() for one, two in zip(whole, other, strict=True)), "another seed draws otherwise"


def test_nothing_configured_changes_nothing():
    assert augmentation(AugmentationConfig(), seed=1) is None


def test_switching_one_change_on_leaves_the_draws_of_another(batch):
    first, _ = augmented(*batch, AugmentationConfig(flip="horizontal"), seed=1, step=0)
    # A brightness of 0 after rounding changes nothing, but takes its own draws.
    second, _ = augmented(*batch, AugmentationConfig(flip="horizontal", brightness=1e-6), seed=1, step=0)
    assert (first.numpy() == second.numpy()).all()


def test_a_flip_is_the_exact_mirror_image(batch):
    pixels, labels = batch
    changed, _ = augmented(pixels, labels, AugmentationConfig(flip="horizontal"), seed=1, step=0)
    mirrored = pixels.numpy()[:, :, ::-1]
    same, mirror = (
        [(one == two).all() for one, two in zip(changed.numpy(), other, strict=True)]
        for other in (pixels.numpy(), mirrored)
    )
    assert all(np.logical_or(same, mirror)) and 0 < sum(mirror) < len(mirror)


def test_mixup_mixes_the_labels_as_the_images():
    # Class k has grey level 50·k everywhere, so the level tells the label.
    index = np.arange(32) % 4
    pixels = tf.constant(np.broadcast_to((50 * index)[:, None, None, None], (32, 4, 4, 1)).astype(np.uint8))
    mixed, labels = augmented(pixels, tf.one_hot(index, 4), AugmentationConfig(mixup=1.0), seed=3, step=0)
    level = (labels.numpy() * 50 * np.arange(4)).sum(axis=1)
    assert mixed.numpy()[:, 0, 0, 0] == pytest.approx(level, abs=0.51)
    assert ((labels.numpy() > 0.05).sum(axis=1) == 2).any()


def test_cutmix_labels_are_the_shares_of_the_pixels():
    index = np.arange(32) % 2
    pixels = tf.constant(np.broadcast_to((200 * index)[:, None, None, None], (32, 16, 16, 1)).astype(np.uint8))
    mixed, labels = augmented(pixels, tf.one_hot(index, 2), AugmentationConfig(cutmix=1.0), seed=3, step=0)
    share = (mixed.numpy() == 200).mean(axis=(1, 2, 3))
    assert labels.numpy()[:, 1] == pytest.approx(share, abs=1e-5)
    assert ((share > 0.05) & (share < 0.95)).any()


def test_cutout_blackens_a_square_of_the_given_side():
    pixels = tf.fill([64, 20, 20, 1], tf.constant(255, tf.uint8))
    changed, _ = augmented(pixels, tf.ones([64, 1]), AugmentationConfig(cutout=0.5), seed=1, step=0)
    black = (changed.numpy() == 0).sum(axis=(1, 2, 3))
    assert black.max() == 100 and black.min() >= 16, "10 × 10 inside, part of it at the border"


def test_a_hue_turned_all_the_way_round_is_the_same_colour(batch):
    from trainer_module.augmentation import turn_hue

    images = tf.cast(batch[0], tf.float32)
    once = turn_hue(images, tf.ones([16]))
    assert once.numpy() == pytest.approx(images.numpy(), abs=0.05)
    half = turn_hue(images, tf.fill([16], 0.5))
    luma = [tf.reduce_sum(image * randaugment.LUMA, axis=-1).numpy() for image in (images, half)]
    assert luma[1] == pytest.approx(luma[0], abs=0.5), "the lightness stays"


@pytest.mark.parametrize("operation", randaugment.OPERATIONS, ids=lambda operation: operation.__name__)
def test_operations_of_randaugment_keep_shape_and_change_at_full_strength(batch, operation):
    images = tf.cast(batch[0], tf.float32)
    changed = operation(images, 1.0, tf.ones([16]))
    assert changed.shape == images.shape
    assert (changed.numpy() != images.numpy()).any() == (operation is not randaugment.identity)


def test_autocontrast_and_equalize_leave_a_flat_image():
    flat = tf.fill([2, 4, 4, 3], 77.0)
    for operation in (randaugment.autocontrast, randaugment.equalize):
        assert (operation(flat, 1.0, tf.ones([2])).numpy() == 77).all()


def test_equalize_spreads_the_levels_over_the_whole_range():
    image = tf.reshape(tf.cast(tf.range(100, 116), tf.float32), [1, 4, 4, 1])
    equalized = np.sort(randaugment.equalize(image, 1.0, tf.ones([1])).numpy().ravel())
    assert equalized == pytest.approx(np.linspace(0, 255, 16), abs=0.01)
