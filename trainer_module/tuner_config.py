"""The settings of the hyperparameter search."""

from typing import Annotated, Literal

from pydantic import Field

from trainer_module.config import BatchSize
from trainer_module.model_config import Dropout
from trainer_module.optimization_config import LearningRate, OptimizerName
from transform.config import settings


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
