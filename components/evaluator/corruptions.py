"""Mild changes that a picture in the world may have, done to the encoded image at its own size.

After Hendrycks and Dietterich ("Benchmarking Neural Network Robustness to Common Corruptions", ICLR 2019), at about
their severity 1, in proportion to the image so that small ones are not destroyed.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

Change = Callable[[Image.Image, int], Image.Image]
"""(image, seed) → image."""


def blurred(image: Image.Image, seed: int) -> Image.Image:
    """Gaussian blur, its deviation 1 % of the shorter side and at least half a pixel."""
    return image.filter(ImageFilter.GaussianBlur(max(0.01 * min(image.size), 0.5)))


def noisy(image: Image.Image, seed: int) -> Image.Image:
    """Gaussian noise of 5 % of the full range."""
    pixels = np.asarray(image, np.float32)
    noise = np.random.default_rng(seed).normal(0, 0.05 * 255, pixels.shape)
    return Image.fromarray(np.clip(np.round(pixels + noise), 0, 255).astype(np.uint8), image.mode)


def darker(image: Image.Image, seed: int) -> Image.Image:
    """70 % of the brightness."""
    return ImageEnhance.Brightness(image).enhance(0.7)


def brighter(image: Image.Image, seed: int) -> Image.Image:
    """130 % of the brightness."""
    return ImageEnhance.Brightness(image).enhance(1.3)


def rotated(image: Image.Image, seed: int) -> Image.Image:
    """Turned by 10°, half of the images to the left and half to the right; black corners as in padding."""
    return image.rotate(10 if seed % 2 else -10, Image.Resampling.BILINEAR)


CHANGES: dict[str, Change] = {
    "blur": blurred,
    "noise": noisy,
    "30 % darker": darker,
    "30 % brighter": brighter,
    "10° turned": rotated,
}
"""By the name in the report."""


def change(encoded: bytes, name: str, seed: int) -> bytes:
    """An encoded image, changed; the bytes as they were where it cannot be read.

    Args:
      encoded: JPEG, PNG, GIF or BMP.
      name: of the change.
      seed: of its randomness, such as a part of the content's hash.

    Returns:
      A PNG of 8 bits, grey or RGB.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            plain = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return encoded
    buffer = io.BytesIO()
    CHANGES[name](plain, seed).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
