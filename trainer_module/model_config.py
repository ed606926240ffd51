"""The settings of the network."""

import difflib
from typing import Annotated

from pydantic import AfterValidator, Field

from transform.config import settings

Dropout = Annotated[float, Field(ge=0, lt=1)]

APPLICATIONS = (
    "ConvNeXtBase ConvNeXtLarge ConvNeXtSmall ConvNeXtTiny ConvNeXtXLarge DenseNet121 DenseNet169 "
    "DenseNet201 EfficientNetB0 EfficientNetB1 EfficientNetB2 EfficientNetB3 EfficientNetB4 "
    "EfficientNetB5 EfficientNetB6 EfficientNetB7 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 "
    "EfficientNetV2B3 EfficientNetV2L EfficientNetV2M EfficientNetV2S InceptionResNetV2 InceptionV3 "
    "MobileNet MobileNetV2 MobileNetV3Large MobileNetV3Small NASNetLarge NASNetMobile RegNetX002 "
    "RegNetX004 RegNetX006 RegNetX008 RegNetX016 RegNetX032 RegNetX040 RegNetX064 RegNetX080 RegNetX120 "
    "RegNetX160 RegNetX320 RegNetY002 RegNetY004 RegNetY006 RegNetY008 RegNetY016 RegNetY032 RegNetY040 "
    "RegNetY064 RegNetY080 RegNetY120 RegNetY160 RegNetY320 ResNet101 ResNet101V2 ResNet152 ResNet152V2 "
    "ResNet50 ResNet50V2 ResNetRS101 ResNetRS152 ResNetRS200 ResNetRS270 ResNetRS350 ResNetRS420 "
    "ResNetRS50 VGG16 VGG19 Xception"
).split()
"""The networks of tf.keras.applications."""


def _known_architecture(name: str) -> str:
    if name != "convnet" and name not in APPLICATIONS:
        nearest = difflib.get_close_matches(name, ["convnet", *APPLICATIONS], n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known: convnet, {', '.join(APPLICATIONS)}"
        raise ValueError(f"{name!r} is no known architecture; {hint}")
    return name


@settings
class ModelConfig:
    """The network."""

    architecture: Annotated[str, AfterValidator(_known_architecture)] = "convnet"
    """convnet (the handbook's), or a network of tf.keras.applications such as MobileNetV2."""
    dropout: Dropout = 0.25
    """Share of activations dropped before the classifier; half of it after each convolution group."""
    filters: Annotated[list[Annotated[int, Field(ge=1, le=2048)]], Field(min_length=1, max_length=6)] = Field(
        default_factory=lambda: [32, 64]
    )
    """Filters of the convnet's groups, first to last."""
    convolutions: Annotated[int, Field(ge=1, le=4)] = 1
    """Convolutions in each group."""
    hidden_units: Annotated[int, Field(ge=0, le=8192)] = 128
    """Units of the hidden layer before the classifier; 0 leaves it out."""
    batch_normalization: bool = True
    """Batch normalization after each convolution of the convnet."""
