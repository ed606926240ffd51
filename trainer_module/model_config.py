"""The settings of the network."""

import difflib
import re
from typing import Annotated, Literal

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


OWN_NETWORKS = ("convnet", "ResNeXt50", "ResNeXt101")
"""The networks of this project."""

Filters = Annotated[int, Field(ge=1, le=2048)]
Units = Annotated[int, Field(ge=0, le=8192)]


def _known_architecture(name: str) -> str:
    known = [*OWN_NETWORKS, *APPLICATIONS]
    if name in known or re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", name):
        return name
    nearest = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(known)}, or PACKAGE.MODULE.FUNCTION"
    raise ValueError(f"{name!r} is no known architecture; {hint}")


def _two_groups() -> list[int | list[int]]:
    return [32, 64]


@settings
class ModelConfig:
    """The network."""

    architecture: Annotated[str, AfterValidator(_known_architecture)] = "convnet"
    """convnet (the handbook's), ResNeXt50, a network of tf.keras.applications, or your own as PACKAGE.MODULE.FUNCTION.

    The function is given the normalized images, float32 [batch, height, width, channels], and these settings, and
    returns features, [batch, height, width, filters] or [batch, features], for the head to be put on.
    """
    filters: Annotated[
        list[Filters | Annotated[list[Filters], Field(min_length=1, max_length=8)]], Field(min_length=1, max_length=6)
    ] = Field(default_factory=_two_groups)
    """Filters of the convnet's groups, first to last; a list in place of a number gives each convolution its own."""
    convolutions: Annotated[int, Field(ge=1, le=8)] = 1
    """Convolutions in each group whose filters are one number."""
    batch_normalization: bool = True
    """Batch normalization after each convolution of the convnet."""
    activation: Literal["relu", "leaky_relu", "elu", "selu", "gelu", "swish", "tanh"] = "relu"
    """Activation of the convnet and of the hidden layers."""
    initializer: Literal[
        "auto", "he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal", "lecun_uniform"
    ] = "auto"
    """First weights of the same layers; auto is He's for ReLU and its kin, Glorot's for tanh, LeCun's for SELU."""
    pooling: Literal["auto", "average", "max", "flatten"] = "auto"
    """From feature maps to features; auto flattens the convnet's and averages the others'."""
    hidden_units: Units | Annotated[list[Units], Field(max_length=4)] = 128
    """Units of the hidden layer before the classifier, or of several; 0 leaves it out."""
    dropout: Dropout = 0.25
    """Share of activations dropped before the classifier; half of it after each convolution group."""
    l2: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Penalty on the squares of the weights, biases and normalization left out."""

    @property
    def hidden_layers(self) -> list[int]:
        """Units of each hidden layer, first to last."""
        units = self.hidden_units if isinstance(self.hidden_units, list) else [self.hidden_units]
        return [width for width in units if width]
