"""Augmentation: batches of training images → changed images and labels, on the fly.

Every draw depends on (seed, step) alone, through TensorFlow's stateless random numbers: a training that resumes at
step n goes on with the very images it would have seen. A change is one operation on the whole batch with numbers of
its own for each image, so that small images cost no more than their pixels; all movements of an image are one
projective transformation, so that it is interpolated once.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from trainer_module import randaugment
from trainer_module.augmentation_config import AugmentationConfig
from trainer_module.feeding import Augment
from trainer_module.geometry import matrix, project
from trainer_module.randaugment import LUMA

Draw = Callable[[str, list[int], float, float], tf.Tensor]
"""(name, shape after the batch, low, high) → uniform float32 [batch, *shape]; the same name is the same draw."""

# Each has its own stream of random numbers, so that switching one on leaves the others' draws as they were.
STREAMS = (
    "flip_x flip_y rotation translate_x translate_y zoom shear brightness contrast saturation hue noise noise_level "
    "cutout_x cutout_y randaugment mix mixup cutmix cutmix_x cutmix_y partner"
).split()


def augmentation(config: AugmentationConfig, seed: int) -> Augment | None:
    """What changes the batches of a training: (step, pixels, labels) → (pixels, labels); None where nothing does."""
    if config == AugmentationConfig(fill=config.fill, randaugment_magnitude=config.randaugment_magnitude):
        return None
    return lambda step, pixels, labels: augmented(pixels, labels, config, seed=seed, step=step)


def augmented(
    pixels: tf.Tensor, labels: tf.Tensor, config: AugmentationConfig, *, seed: int, step: tf.Tensor | int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augments one batch. uint8 [batch, height, width, channels], float32 [batch, classes] → the same."""
    draw = _drawing(tf.shape(pixels)[0], seed, step)
    pixels = move(pixels, config, draw)
    images = recolour(tf.cast(pixels, tf.float32), config, draw)
    if config.randaugment_operations:
        images = randaugment.randaugment(
            images,
            config.randaugment_operations,
            config.randaugment_magnitude,
            seed=stream(seed, step, "randaugment"),
        )
    if config.cutout:
        images = cut_out(images, config.cutout, draw)
    if config.noise:
        images += draw("noise_level", [1, 1, 1], 0, 255 * config.noise) * tf.random.stateless_normal(
            tf.shape(images), stream(seed, step, "noise")
        )
    if config.mixup or config.cutmix:
        images, labels = mix(images, labels, config, draw, seed, step)
    return tf.cast(tf.clip_by_value(tf.round(images), 0, 255), tf.uint8), labels


def stream(seed: int, step: tf.Tensor | int, name: str) -> tf.Tensor:
    """The seed of one kind of draw in one step, int64 [2]; kinds and steps never share one."""
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(step, tf.int64) * len(STREAMS) + STREAMS.index(name)])


def _drawing(size: tf.Tensor, seed: int, step: tf.Tensor | int) -> Draw:
    def draw(name: str, shape: list[int], low: float, high: float) -> tf.Tensor:
        return tf.random.stateless_uniform([size, *shape], stream(seed, step, name), low, high)

    return draw


def move(pixels: tf.Tensor, config: AugmentationConfig, draw: Draw) -> tf.Tensor:
    """Flips, rotates, translates, zooms and shears, interpolating bilinearly once. uint8 → uint8, same shape."""
    height, width = pixels.shape[1:3]
    parts = []
    if config.flip in ("horizontal", "both"):
        parts.append(matrix(a=tf.sign(draw("flip_x", [], -1, 1))))
    if config.flip in ("vertical", "both"):
        parts.append(matrix(e=tf.sign(draw("flip_y", [], -1, 1))))
    if config.rotation:
        angle = draw("rotation", [], -math.radians(config.rotation), math.radians(config.rotation))
        parts.append(matrix(a=tf.cos(angle), b=-tf.sin(angle), d=tf.sin(angle), e=tf.cos(angle)))
    if config.shear:
        parts.append(matrix(b=tf.tan(draw("shear", [], -math.radians(config.shear), math.radians(config.shear)))))
    if config.zoom:
        scale = tf.exp(draw("zoom", [], -math.log1p(config.zoom), math.log1p(config.zoom)))
        parts.append(matrix(a=1 / scale, e=1 / scale))
    if config.translation:
        parts.append(
            matrix(
                c=draw("translate_x", [], -config.translation, config.translation) * width,
                f=draw("translate_y", [], -config.translation, config.translation) * height,
            )
        )
    return project(pixels, parts, config.fill) if parts else pixels


def recolour(images: tf.Tensor, config: AugmentationConfig, draw: Draw) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue. float32 [batch, h, w, channels], 0 … 255, not clipped."""
    if config.brightness:
        images += 255 * draw("brightness", [1, 1, 1], -config.brightness, config.brightness)
    if config.contrast:
        mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
        images = mean + draw("contrast", [1, 1, 1], 1 - config.contrast, 1 + config.contrast) * (images - mean)
    if images.shape[-1] == 3 and config.saturation:
        grey = tf.reduce_sum(images * LUMA, axis=-1, keepdims=True)
        images = grey + draw("saturation", [1, 1, 1], 1 - config.saturation, 1 + config.saturation) * (images - grey)
    if images.shape[-1] == 3 and config.hue:
        images = turn_hue(images, draw("hue", [], -config.hue, config.hue))
    return images


def turn_hue(images: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Rotates the chroma plane of YIQ, keeping the luma. float32 [batch, h, w, 3], float32 [batch] → as the images."""
    to_yiq = tf.constant([LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
    angle = 2 * math.pi * share
    one, zero = tf.ones_like(angle), tf.zeros_like(angle)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    rows = [one, zero, zero, zero, cosine, -sine, zero, sine, cosine]
    turn = tf.linalg.inv(to_yiq) @ tf.reshape(tf.stack(rows, -1), [-1, 3, 3]) @ to_yiq
    return tf.einsum("bhwc,bdc->bhwd", images, turn)


def cut_out(images: tf.Tensor, share: float, draw: Draw) -> tf.Tensor:
    """Blackens a square with its centre anywhere in the image, so part of it may be outside."""
    height, width = images.shape[1:3]
    half = share * min(height, width) / 2
    inside = _box(height, width, draw("cutout_y", [], 0, height), draw("cutout_x", [], 0, width), half, half)
    return tf.where(inside, 0.0, images)


def _box(
    height: int, width: int, y: tf.Tensor, x: tf.Tensor, half_height: tf.Tensor | float, half_width: tf.Tensor | float
) -> tf.Tensor:
    """Which pixels have their centre in a box. Everything in pixels, float32 [batch] → bool [batch, h, w, 1]."""
    rows = tf.abs(tf.range(height, dtype=tf.float32)[tf.newaxis] + 0.5 - y[:, tf.newaxis])
    columns = tf.abs(tf.range(width, dtype=tf.float32)[tf.newaxis] + 0.5 - x[:, tf.newaxis])
    half_height, half_width = (tf.reshape(half, [-1, 1]) for half in (half_height, half_width))
    return ((rows < half_height)[:, :, tf.newaxis] & (columns < half_width)[:, tf.newaxis, :])[..., tf.newaxis]


def mix(
    images: tf.Tensor,
    labels: tf.Tensor,
    config: AugmentationConfig,
    draw: Draw,
    seed: int,
    step: tf.Tensor | int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes each image and its label with those of another of the batch, by mixup or CutMix.

    With both switched on, a draw decides for each image which of the two it is.
    """
    size = tf.shape(images)[0]
    height, width = images.shape[1:3]
    partner = tf.argsort(tf.random.stateless_uniform([size], stream(seed, step, "partner")))
    others, other_labels = tf.gather(images, partner), tf.gather(labels, partner)
    blend = _beta(size, config.mixup, stream(seed, step, "mixup"))
    kept = _beta(size, config.cutmix, stream(seed, step, "cutmix"))
    pasted = _box(
        height,
        width,
        draw("cutmix_y", [], 0, height),
        draw("cutmix_x", [], 0, width),
        tf.sqrt(1 - kept) * height / 2,
        tf.sqrt(1 - kept) * width / 2,
    )
    # A box at the border is cut off: the label's share is that of the pixels, not the one that was drawn.
    kept = 1 - tf.reduce_mean(tf.cast(pasted, tf.float32), axis=[1, 2, 3])
    with_mixup = config.mixup / (config.mixup + config.cutmix) if not (config.mixup and config.cutmix) else 0.5
    chosen = draw("mix", [], 0, 1) < with_mixup
    weight = tf.where(chosen, blend, kept)[:, tf.newaxis]
    blended = _over(blend) * images + (1 - _over(blend)) * others
    mixed = tf.where(_over(chosen), blended, tf.where(pasted, others, images))
    return mixed, weight * labels + (1 - weight) * other_labels


def _over(values: tf.Tensor) -> tf.Tensor:
    """[batch] → [batch, 1, 1, 1]."""
    return tf.reshape(values, [-1, 1, 1, 1])


def _beta(size: tf.Tensor, alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """Draws from Beta(alpha, alpha) as a ratio of Gamma draws; 1 where alpha is 0. float32 [size]."""
    if not alpha:
        return tf.ones([size])
    # A small alpha makes both draws underflow to 0 now and then; then either image will do.
    first, second = tf.unstack(tf.random.stateless_gamma([2, size], seed, alpha) + 1e-30)
    return first / (first + second)
