"""The settings of the optimizer, its learning rate and the loss."""

from typing import Annotated, Literal

from pydantic import Field

from transform.config import settings

OptimizerName = Literal["adam", "adamw", "sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adadelta"]
LearningRate = Annotated[float, Field(gt=0, le=1)]


@settings
class OptimizationConfig:
    """How the weights change; `TrainerConfig` inherits these settings."""

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
