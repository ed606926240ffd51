"""The settings of the hyperparameter search."""

import dataclasses
import difflib
from typing import Annotated, Literal

import pydantic
from pydantic import AfterValidator, Field, model_validator

from trainer_module.settings import TrainingSettings
from transform.config import settings, to_json

TRIALS = "trials.json"
"""The file in the Tuner's `tuner_results` that lists every trial, best first."""

SWEEP = "sweep.json"
"""The file beside it with the learning-rate sweep, where there was one: rates, losses, the suggested rate, its plot."""

Value = bool | int | float | str


@settings
class Range:
    """Values between two ends, both included."""

    low: float
    """The lowest; above 0 on a logarithmic scale."""
    high: float
    """The highest."""
    scale: Literal["log", "linear"] = "linear"
    """log draws each order of magnitude as often as the next, as suits learning rates and penalties."""
    steps: Annotated[int, Field(ge=2, le=1000)] = 10
    """Values that a grid takes from it; the other algorithms draw any."""

    @model_validator(mode="after")
    def _ends_in_order(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low, {self.low:g}, must be below high, {self.high:g}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"low, {self.low:g}, must be above 0 on a logarithmic scale")
        return self


Values = Annotated[list[Value], Field(min_length=1)] | Range
# In one order: where a setting stands in the file has no influence on what is drawn.
Searched = Annotated[dict[str, Values], AfterValidator(lambda searched: dict(sorted(searched.items())))]


@settings
class SearchSpace:
    """What the Tuner tries: settings of the training by name, each with a list of values or a range."""

    trainer: Searched = Field(default_factory=dict)
    """Settings of `trainer`, such as learning_rate: {low: 0.0001, high: 0.1, scale: log}."""
    model: Searched = Field(default_factory=dict)
    """Settings of `model`, such as dropout: [0.1, 0.25, 0.5]."""
    augmentation: Searched = Field(default_factory=dict)
    """Settings of `augmentation`."""
    transfer: Searched = Field(default_factory=dict)
    """Settings of `transfer`."""

    @model_validator(mode="after")
    def _each_value_fits_its_setting(self) -> "SearchSpace":
        for path, values in self.by_path().items():
            _check(path, values)
        return self

    def by_path(self) -> dict[str, list[Value] | Range]:
        """The values by key path, such as "trainer.learning_rate"."""
        return {
            f"{section.name}.{name}": values
            for section in dataclasses.fields(self)
            for name, values in getattr(self, section.name).items()
        }


def _check(path: str, values: list[Value] | Range) -> None:
    section, _, name = path.partition(".")
    current = to_json(getattr(TrainingSettings(), section))
    if name not in current:
        nearest = difflib.get_close_matches(name, current, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known there: {', '.join(current)}"
        raise ValueError(f"{path} is no setting; {hint}")
    for value in (values.low, values.high) if isinstance(values, Range) else values:
        whole = isinstance(current[name], int) and not isinstance(current[name], bool)
        try:
            TrainingSettings().with_values({path: int(value) if whole and isinstance(values, Range) else value})
        except pydantic.ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise ValueError(f"{path}: {value!r} is refused: {reason[0].lower()}{reason[1:]}") from error


def _handbook_search() -> SearchSpace:
    return SearchSpace(
        trainer={
            "learning_rate": [1e-2, 3e-3, 1e-3, 3e-4],
            "batch_size": [32, 128],
            "optimizer": ["adam", "adagrad", "rmsprop"],
        },
        model={"dropout": [0.1, 0.25, 0.5]},
    )


@settings
class TunerConfig:
    """Hyperparameter search before training."""

    enabled: bool = True
    """False trains with the trainer's own values, or with `reuse`."""
    reuse: str | None = None
    """The best_hyperparameters folder of an earlier run to train with; only while the search is off."""
    algorithm: Literal["random", "bayesian", "grid", "hyperband"] = "random"
    """How the search draws its trials; hyperband starts many with few epochs and goes on with the best third."""
    trials: Annotated[int, Field(ge=1, le=1000)] = 6
    """Short trainings, each with other values."""
    minutes: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    """No trial starts after so many minutes; 0 sets no limit."""
    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    """Epochs of each; of the longest under hyperband."""
    steps_per_epoch: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Steps of each such epoch; 0 is the whole training split."""
    folds: Annotated[int, Field(ge=1, le=20)] = 1
    """Above 1, each trial is the mean of so many cross-validated trainings on the training split, for small sets."""
    parallel_trials: Annotated[int, Field(ge=0, le=256)] = 0
    """Trials at the same time, each in a process of its own; 0 is one per GPU, or without any one per core."""
    sweep_steps: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Steps of a learning-rate sweep before the trials, about 200, for the report to plot; 0 leaves it out."""
    search: SearchSpace = Field(default_factory=_handbook_search)
    """What is searched; by default the handbook's four, in order of influence (part 10, "Hyperparameters to Tune")."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of the draws."""
