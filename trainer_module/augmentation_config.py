"""The settings of augmentation."""

from typing import Annotated, Literal

from pydantic import Field

from transform.config import settings

Share = Annotated[float, Field(ge=0, le=1)]


@settings
class AugmentationConfig:
    """Random changes of the training images, drawn anew for each image and epoch. 0 leaves a change out."""

    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    """Mirror half of the images; only where the mirror image is of the same class."""
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Turn by up to so many degrees either way."""
    translation: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Move by up to this share of the height and of the width."""
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Enlarge to up to 1 + zoom, or shrink to as little as 1 / (1 + zoom)."""
    shear: Annotated[float, Field(ge=0, le=60)] = 0.0
    """Slant by up to so many degrees either way."""
    fill: Literal["constant", "nearest", "reflect", "wrap"] = "constant"
    """What appears at the borders of a moved image: black, the nearest pixel, its mirror image, or the other side."""
    brightness: Share = 0.0
    """Make lighter or darker by up to this share of white."""
    contrast: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Scale the distance from the image's mean by 1 ± up to this."""
    saturation: Share = 0.0
    """Scale the distance from grey by 1 ± up to this; colour only."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Turn the colours by up to this share of the colour circle either way; colour only."""
    noise: Share = 0.0
    """Add Gaussian noise whose deviation is up to this share of white."""
    cutout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Blacken a square whose side is this share of the shorter side (DeVries and Taylor, 2017)."""
    randaugment_operations: Annotated[int, Field(ge=0, le=5)] = 0
    """Operations of RandAugment, drawn for each image (Cubuk et al., 2020)."""
    randaugment_magnitude: Annotated[float, Field(ge=0, le=10)] = 5.0
    """Their strength, out of 10."""
    mixup: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Blend pairs of images and their labels by a share from Beta(mixup, mixup) (Zhang et al., 2018)."""
    cutmix: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Paste a box of another image and its share of the label, from Beta(cutmix, cutmix) (Yun et al., 2019)."""
