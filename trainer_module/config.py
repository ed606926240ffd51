"""The settings of training: feeding, strategy, and (inherited) optimization."""

from typing import Annotated, Literal

from pydantic import Field

from trainer_module.optimization_config import OptimizationConfig
from transform.config import settings

StrategyName = Literal["auto", "one_device", "mirrored", "multi_worker", "tpu"]
BatchSize = Annotated[int, Field(ge=1, le=4096)]


@settings
class TrainerConfig(OptimizationConfig):
    """Training."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Passes over the training split, at most."""
    batch_size: BatchSize = 64
    """Images per step over all replicas."""
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
