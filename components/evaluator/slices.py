"""What images are sliced by: values of their features, numbers in bands."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from transform import features

Slice = tuple[tuple[str, str], ...]
"""(feature, value) of each feature; () is all images."""

SIZE = "size"
"""Made here: the longer side, in bands of an octave."""
PER_QUARTER = ("brightness", "mean_red", "mean_green", "mean_blue")
"""Numbers from 0 to 255 that are cut into four bands."""
PER_OCTAVE = (SIZE, features.WIDTH, features.HEIGHT, "file_bytes", "contrast", "sharpness")
"""Numbers that are cut at the powers of two."""


def feature_names(slicings: Sequence[Sequence[str]]) -> list[str]:
    """The features in the examples that the slicings need."""
    names = {name for keys in slicings for name in keys}
    if SIZE in names:
        names = names - {SIZE} | {features.WIDTH, features.HEIGHT}
    return sorted(names)


def slice_values(name: str, batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """A feature's value as text, str [batch]; "" where an image has none.

    Args:
      name: of the feature, or SIZE.
      batch: feature values [batch] by name: bytes, integers (-1 is none) or floats (NaN is none).
    """
    values = np.maximum(batch[features.WIDTH], batch[features.HEIGHT]) if name == SIZE else batch[name]
    if values.dtype.kind not in "if":
        return np.array([value.decode(errors="replace") for value in values], object)
    return np.array([band(name, float(value)) for value in values], object)


def band(name: str, value: float) -> str:
    """A number as the name of its band, such as "32 – 63"; "" for none."""
    if math.isnan(value) or value < 0:
        return ""
    if name in PER_QUARTER:
        low = min(int(value // 64), 3) * 64
        return f"{low} – {low + 63}"
    if name in PER_OCTAVE:
        low = 2 ** int(math.log2(value)) if value >= 1 else 0
        return f"{low:,} – {max(2 * low - 1, 0):,}" if low > 1 else f"{low}"
    return f"{value:g}"


def describe(one: Slice) -> str:
    """Which images: "all test images", "the images of class cat", "the images with size 32 – 63 and format PNG"."""
    if not one:
        return "all test images"
    if len(one) == 1 and one[0][0] == features.LABEL:
        return f"the images of class {one[0][1]}"
    return "the images with " + " and ".join(f"{name} {value}" for name, value in one)
