"""What a model must reach on the test split."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from transform.config import settings

Value = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)]
"""A feature's value as text; YAML reads the class 3 as a number."""
Share = Annotated[float, Field(ge=0, le=1)]
Slicing = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=3)]
"""Names of features; several are a cross."""

OVERALL = ("accuracy", "top_k_accuracy", "calibration_error", "log_loss", "balanced_accuracy", "macro_f1", "macro_auc")
"""Metrics over all test images; the first four also over any slice."""
ON_SLICES = OVERALL[:4]
ON_CLASSES = (*ON_SLICES, "precision", "recall", "f1", "auc")
"""Metrics of each class: those of its images, and those of the class against all others."""
LOWER_IS_BETTER = ("calibration_error", "log_loss")
LABEL = "label"


@settings
class Threshold:
    """A bound on one metric, over all test images or over each image slice."""

    metric: Literal[
        "accuracy", "top_k_accuracy", "calibration_error", "log_loss", "balanced_accuracy", "macro_f1", "macro_auc",
        "precision", "recall", "f1", "auc",
    ]  # fmt: skip
    """The metric."""
    slices: Slicing = Field(default_factory=list)
    """By what the images are sliced, such as [label] or [label, size]; [] is all images as one."""
    only: dict[str, Value] = Field(default_factory=dict)
    """Slices with these values alone, such as {label: cat}."""
    min: float | None = None
    """The metric's lowest value."""
    max: float | None = None
    """The metric's highest value."""
    max_drop: Annotated[float, Field(ge=0)] | None = None
    """How much worse than the champion it may be."""

    @model_validator(mode="after")
    def _can_be_judged(self) -> "Threshold":
        if self.min is None and self.max is None and self.max_drop is None:
            raise ValueError("says nothing; give `min`, `max` or `max_drop`")
        if unknown := set(self.only) - set(self.slices):
            raise ValueError(f"`only` names {', '.join(sorted(unknown))}, by which `slices` does not slice")
        known = ON_CLASSES if self.slices == [LABEL] else ON_SLICES if self.slices else OVERALL
        if self.metric not in known:
            where = f"slices by {' and '.join(self.slices)}" if self.slices else "all images"
            raise ValueError(f"{self.metric} is no metric of {where}; there are {', '.join(known)}")
        return self


@settings
class EvaluatorConfig:
    """What a model must reach on the test split."""

    min_accuracy: Share = 0.5
    """Accuracy over all test images."""
    min_class_accuracy: Share = 0.0
    """Accuracy over the test images of each class."""
    max_accuracy_drop: Share = 0.0
    """How much less accurate than the champion, the model being served, a challenger may be."""
    max_class_accuracy_drop: Share | None = None
    """How much less accurate than the champion it may be on the images of any class; null does not compare classes."""
    protected_classes: list[Value] = Field(default_factory=list)
    """Classes on whose images a challenger may not be less accurate than the champion at all."""
    equal: Literal["bless", "refuse"] = "bless"
    """What becomes of a challenger that has exactly the champion's accuracy; `refuse` spares a push without a gain."""
    thresholds: list[Threshold] = Field(default_factory=list)
    """More bounds, by metric and slice."""
    slices: list[Slicing] = Field(default_factory=lambda: [["size"], ["format"]])
    """Slices to report besides the classes: features of the examples, `size` (of the longer side), or crosses."""
    min_slice_examples: Annotated[int, Field(ge=1)] = 10
    """Slices with fewer images are reported and not judged."""
    top_k: Annotated[int, Field(ge=1, le=100)] = 5
    """An image counts for the top-k accuracy when its class is among the k most probable."""
    robustness: Annotated[int, Field(ge=0)] = 0
    """Test images that are also classified blurred, noisy, darker, brighter and rotated; 0 leaves it out."""

    @model_validator(mode="after")
    def _equal_is_refused_only_without_a_drop(self) -> "EvaluatorConfig":
        if self.equal == "refuse" and self.max_accuracy_drop > 0:
            raise ValueError("equal: refuse contradicts a max_accuracy_drop above 0, which blesses even a worse model")
        return self

    @property
    def slicings(self) -> list[tuple[str, ...]]:
        """Everything images are sliced by, the classes first, each once."""
        wanted = [[LABEL], *self.slices, *(threshold.slices for threshold in self.thresholds if threshold.slices)]
        return list(dict.fromkeys(tuple(keys) for keys in wanted if keys))

    @property
    def all_thresholds(self) -> list[Threshold]:
        """The short forms above and `thresholds` in one list."""
        found = [Threshold(metric="accuracy", min=self.min_accuracy, max_drop=self.max_accuracy_drop)]
        if self.min_class_accuracy or self.max_class_accuracy_drop is not None:
            found.append(
                Threshold(
                    metric="accuracy",
                    slices=[LABEL],
                    min=self.min_class_accuracy,
                    max_drop=self.max_class_accuracy_drop,
                )
            )
        for name in self.protected_classes:
            found.append(Threshold(metric="accuracy", slices=[LABEL], only={LABEL: name}, max_drop=0.0))
        return found + self.thresholds
