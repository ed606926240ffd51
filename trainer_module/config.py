"""The settings of model, training and hyperparameter search."""

import difflib
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from transform.config import settings

OptimizerName = Literal["adam", "adamw", "sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adadelta"]
StrategyName = Literal["auto", "one_device", "mirrored", "multi_worker", "tpu"]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
BatchSize = Annotated[int, Field(ge=1, le=4096)]

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


@settings
class TrainerConfig:
    """Training."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Passes over the training split, at most."""
    batch_size: BatchSize = 64
    """Images per step over all replicas."""
    optimizer: OptimizerName = "adam"
    """The optimizer."""
    learning_rate: LearningRate = 1e-3
    """Its highest rate."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """How the rate changes over the training: not at all, or falling along half a cosine."""
    warmup: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Share of the training over which the rate first rises from 0; cosine only."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability spread over the other classes."""
    patience: Annotated[int, Field(ge=0, le=10_000)] = 5
    """Epochs without a better validation loss before training stops with the best weights; 0 never stops."""
    feeder: Literal["auto", "memory", "disk"] = "auto"
    """Keep the pixels in memory, read them anew each epoch, or decide by the memory that is free."""
    flip: bool = False
    """Mirror half of the training images left to right; only where the mirror image is the same class."""
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Move training images at random by up to this share of their size."""
    strategy: StrategyName = "auto"
    """The tf.distribute strategy; auto takes every GPU there is, or TF_CONFIG's workers."""
    mixed_precision: bool = False
    """Compute in float16 on GPUs that are fast at it."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of weights, data order and augmentation."""


@settings
class SearchSpace:
    """Values the Tuner tries; they replace the trainer's and the model's own. An empty list leaves one out."""

    learning_rate: list[LearningRate] = Field(default_factory=lambda: [1e-2, 3e-3, 1e-3, 3e-4])
    """The most influential (handbook, part 10, "Hyperparameters to Tune")."""
    dropout: list[Dropout] = Field(default_factory=lambda: [0.1, 0.25, 0.5])
    """The second."""
    batch_size: list[BatchSize] = Field(default_factory=lambda: [32, 128])
    """The third."""
    optimizer: list[OptimizerName] = Field(default=["adam", "adagrad", "rmsprop"])
    """The fourth."""


@settings
class TunerConfig:
    """Hyperparameter search before training."""

    enabled: bool = True
    """False trains with the trainer's own values, or with `reuse`."""
    reuse: str | None = None
    """The best_hyperparameters folder of an earlier run to train with; only while the search is off."""
    algorithm: Literal["random", "bayesian", "grid"] = "random"
    """How the search draws its trials."""
    trials: Annotated[int, Field(ge=1, le=1000)] = 6
    """Short trainings, each with other values."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    """Epochs of each."""
    steps_per_epoch: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Steps of each such epoch; 0 is the whole training split."""
    search: SearchSpace = Field(default_factory=SearchSpace)
    """What is searched."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of the draws."""
