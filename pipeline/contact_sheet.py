"""A sheet of training images under each augmentation, to look at before training with it."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from components.image_example_gen.folders import list_images
from pipeline.config import PipelineConfig
from trainer_module.augmentation import augmented
from trainer_module.augmentation_config import AugmentationConfig
from transform import ops
from transform.reading import read_images

Column = tuple[str, np.ndarray, np.ndarray]
"""Title, uint8 images [rows, height, width, channels] and label shares [rows, classes]."""

TOGETHER = 4
"""Columns with every change at once."""
MARGIN, TITLE, CAPTION = 12, 34, 18
"""Pixels around an image, over a column and under an image."""
LEAST_SIDE, MOST_SIDE = 96, 224
"""Pixels of an image on the sheet."""


class PreviewError(Exception):
    """There is nothing to show; the message says why."""


def write_sheet(config: PipelineConfig, output: Path, rows: int) -> list[str]:
    """Writes the sheet as a PNG file: a row per image; as it is, under each change alone, and under all together.

    Args:
      config: of the pipeline; the images are some of its training folder, resized as for the model.
      output: the file.
      rows: how many images.

    Returns:
      The changes that are configured.

    Raises:
      PreviewError: there are no images, or one cannot be decoded.
    """
    classes, labels, pixels = sample(config, rows)
    changes = configured(config.augmentation)
    columns: list[Column] = [("as it is", pixels, labels)]
    for name, value, alone in changes:
        columns.append((f"{name}\n{value}", *change(pixels, labels, alone, config.trainer.seed, 0)))
    if len(changes) > 1:
        for step in range(TOGETHER):
            together = change(pixels, labels, config.augmentation, config.trainer.seed, step)
            columns.append((f"all together\nstep {step}", *together))
    draw(columns, classes).save(output, "PNG")
    return [name for name, _, _ in changes]


def sample(config: PipelineConfig, rows: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Classes, one-hot labels and pixels of images spread over the classes, the same ones every time."""
    images = list_images(config.data.path)
    if not images:
        raise PreviewError(f"there are no images in {config.data.path}")
    classes = sorted({image.label for image in images})
    by_class = {name: [image for image in images if image.label == name] for name in classes}
    chosen = [by_class[name][place] for place in range(rows) for name in classes if place < len(by_class[name])][:rows]
    packed, status = read_images(tf.stack([tf.io.read_file(image.path) for image in chosen]), config.transform)
    for image, problem in zip(chosen, status.numpy(), strict=True):
        if problem:
            raise PreviewError(f"{image.path} {problem.decode()}")
    labels = np.eye(len(classes), dtype=np.float32)[[classes.index(image.label) for image in chosen]]
    return classes, labels, ops.unpack(packed, config.transform).numpy()


def configured(config: AugmentationConfig) -> list[tuple[str, str, AugmentationConfig]]:
    """Name, value and settings of each change that is switched on, alone."""
    nothing = AugmentationConfig(fill=config.fill, randaugment_magnitude=config.randaugment_magnitude)
    found = []
    for field in fields(AugmentationConfig):
        value = getattr(config, field.name)
        if value != getattr(nothing, field.name):
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            found.append((field.name.replace("_operations", ""), shown, replace(nothing, **{field.name: value})))
    return found


def change(
    pixels: np.ndarray, labels: np.ndarray, config: AugmentationConfig, seed: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """The images as a training step would see them."""
    changed, mixed = augmented(tf.constant(pixels), tf.constant(labels), config, seed=seed, step=step)
    return changed.numpy(), mixed.numpy()


def draw(columns: Sequence[Column], classes: Sequence[str]) -> Image.Image:
    """The sheet: titles over the columns, labels under the images; a mixed label as its shares."""
    count, height, width = columns[0][1].shape[:3]
    # Small images are enlarged by whole factors, so that their pixels stay pixels.
    factor = max(LEAST_SIDE // max(height, width), 1)
    scale = factor if factor > 1 else min(MOST_SIDE / max(height, width), 1.0)
    cell_width, cell_height = round(width * scale), round(height * scale)
    pitch_x, pitch_y = max(cell_width, 120) + MARGIN, cell_height + CAPTION + MARGIN
    sheet = Image.new("RGB", (MARGIN + len(columns) * pitch_x, TITLE + MARGIN + count * pitch_y), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, (title, images, shares) in enumerate(columns):
        x = MARGIN + column * pitch_x
        pen.multiline_text((x, 6), title, fill="black", font=font, spacing=2)
        for row in range(count):
            y = TITLE + MARGIN + row * pitch_y
            picture = Image.fromarray(images[row].squeeze(-1) if images.shape[-1] == 1 else images[row])
            resampling = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS
            sheet.paste(picture.resize((cell_width, cell_height), resampling), (x, y))
            pen.text((x, y + cell_height + 2), caption(shares[row], classes), fill="dimgray", font=font)
    return sheet


def caption(shares: np.ndarray, classes: Sequence[str]) -> str:
    """ "dog", or "dog .70 cat .30" where labels are mixed."""
    present = [index for index in np.argsort(-shares) if shares[index] >= 0.005]
    if len(present) == 1:
        return classes[present[0]][:18]
    return " ".join(f"{classes[index][:8]} {shares[index]:.2f}".replace("0.", ".") for index in present)
