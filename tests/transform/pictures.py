"""Pictures in all formats, made and read by Pillow, an implementation of its own."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Waves with an edge in them, uint8 [height, width, channels]."""
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [np.sin(rows / (5 + c)) * 60 + np.cos(columns / (7 - c)) * 60 + 128 for c in range(channels)]
    image = np.stack(planes, axis=-1)
    image[height // 2 :, width // 2 :] = 230
    return image.astype(np.uint8)


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """uint8 [height, width, channels]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def photo(height: int, width: int) -> np.ndarray:
    """A photograph, enlarged, with a sensor's noise: uint8 [height, width, 3]."""
    from sklearn.datasets import load_sample_image

    image = Image.fromarray(load_sample_image("china.jpg")).resize((width, height), Image.Resampling.LANCZOS)
    noisy = np.asarray(image, np.float32) + np.random.default_rng(0).normal(0, 3, (height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def encode(image: np.ndarray | Image.Image, format: str, **options: object) -> bytes:
    """An array or a Pillow image as a file."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


def turned(image: np.ndarray, orientation: int, format: str = "JPEG", **options: object) -> bytes:
    """A file whose EXIF data asks for an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "camera"
    return encode(image, format, exif=exif, **options)


def read(encoded: bytes, channels: int = 3, *, oriented: bool = False) -> np.ndarray:
    """What Pillow sees: uint8 [height, width, channels]."""
    image = Image.open(io.BytesIO(encoded))
    if oriented:
        image = ImageOps.exif_transpose(image)
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)


def difference(a: object, b: object) -> int:
    """The largest, in levels."""
    return int(np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max())


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, at most 100."""
    return float(10 * np.log10(255**2 / max(np.mean((a.astype(float) - b.astype(float)) ** 2), 6.5e-6)))


def peak_memory() -> int:
    """Bytes, since the last call."""
    [peak] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    Path("/proc/self/clear_refs").write_text("5")
    return int(peak.split()[1]) * 1024
