"""The settings of the optimizer, its learning rate and the loss."""

from typing import Annotated, Literal

from pydantic import Field

from transform.config import settings

OptimizerName = Literal[
    "sgd",
    "momentum",
    "nesterov",
    "adam",
    "adamw",
    "amsgrad",
    "adamax",
    "nadam",
    "adagrad",
    "adadelta",
    "rmsprop",
]
LearningRate = Annotated[float, Field(gt=0, le=1)]


@settings
class OptimizationConfig:
    """How the weights change; `TrainerConfig` inherits these settings."""

    optimizer: OptimizerName = "adam"
    """The optimizer."""
    learning_rate: LearningRate = 1e-3
    """Its highest rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Of momentum and nesterov."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the weights, times the rate, that each step takes off (Loshchilov and Hutter, 2019); biases and
    normalization are left out. Null is 0.004 for adamw and none for the others."""
    clip_norm: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Scale the gradients of a step down to this norm, over all weights, when it is larger; 0 never does."""
    schedule: Literal["constant", "step", "exponential", "cosine", "one_cycle", "plateau"] = "cosine"
    """How the rate changes: not at all, in steps, evenly, along half a cosine, up and down once, or when stuck."""
    warmup: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Share of the training over which the rate first rises from 0; one_cycle rises over three tenths by itself."""
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """What step, exponential and plateau multiply the rate by."""
    decay_epochs: Annotated[float, Field(gt=0, le=10_000)] = 10.0
    """Epochs over which they do; for plateau, those without a better validation loss."""
    minimum_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the rate that no schedule falls below."""
    averaging: Literal["none", "ema", "swa"] = "none"
    """Evaluate and keep a mean of the weights: exponential over the steps (Polyak and Juditsky, 1992), or even over
    the epochs of the last part (Izmailov et al., 2018)."""
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Share of the mean that each step keeps; it is lower during the first steps."""
    swa_start: Annotated[float, Field(ge=0, lt=1)] = 0.75
    """Share of the epochs after which swa begins to average."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability spread over the other classes."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced has every class count the same in the loss, however many images it has."""
    xla: bool = False
    """Compile the training step with XLA; pays on accelerators and in long trainings."""
