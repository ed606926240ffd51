"""What the Evaluator found, as it stands in the artifact's `evaluation.json`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from components.evaluator.slices import Slice
from components.evaluator.tally import Mistake

FILE = "evaluation.json"


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One model on one slice."""

    images: int
    accuracy: Estimate
    top_k_accuracy: Estimate
    calibration_error: Estimate
    log_loss: float
    """Mean negative logarithm of the right class's probability, in nats."""


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """One class against all others, or their mean."""

    name: str
    images: int
    """Test images of the class."""
    precision: Estimate | None
    """Share of the images given this class that have it; None when it was given to none."""
    recall: Estimate | None
    """Share of the class's images that were given it; None when there are none."""
    f1: Estimate | None
    """Harmonic mean of the two; None when there was nothing to find and nothing was found."""
    auc: Estimate | None
    """Area under the ROC curve of the class's probability; None when all or no images are of the class."""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Images about which the model is about equally sure."""

    images: int
    confidence: float
    """Mean of the highest probabilities."""
    accuracy: Estimate


@dataclass(frozen=True, kw_only=True)
class SliceScores:
    """One model on one slice of the test images."""

    slice: Slice
    scores: Scores


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """One model on the test split."""

    overall: Scores
    balanced_accuracy: Estimate
    """Mean of the classes' recalls."""
    macro_f1: Estimate
    macro_auc: Estimate
    classes: list[ClassMetrics]
    """In the model's order."""
    slices: list[SliceScores]
    """Everything images are sliced by, the classes among them."""
    calibration: list[Bin]
    refused: int
    """Images that the model could not read; they count as wrong."""
    parameters: int
    """Trainable numbers."""

    @property
    def by_class(self) -> dict[str, float]:
        """Accuracy over the images of each class."""
        found = {one.slice: one.scores.accuracy.value for one in self.slices}
        return {key[0][1]: value for key, value in found.items() if len(key) == 1 and key[0][0] == "label"}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Candidate against champion on the same images of one slice."""

    slice: Slice
    images: int
    gained: int
    """Images that only the candidate got right."""
    lost: int
    """Images that only the champion got right."""
    difference: Estimate
    """Candidate's minus champion's accuracy."""
    p_value: float
    """Of McNemar's exact test."""


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """The candidate on the same images as they are, or changed in one way."""

    name: str
    """What was done to them; "" for nothing."""
    scores: Scores


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The evaluation of a candidate."""

    blessed: bool
    """True when every threshold was reached."""
    misses: list[str]
    """A sentence for each threshold that was missed."""
    unjudged: list[str]
    """A sentence for each threshold that could not be judged on a slice, because it has too few images."""
    top_k: int
    classes: list[str]
    """The candidate's, in its order."""
    confusion: list[tuple[int, int, int]]
    """(right class, predicted class, images), where there are any."""
    candidate: ModelResult
    champion: ModelResult | None
    """None when nothing was being served."""
    comparisons: list[Comparison]
    """By slice, the whole first; [] without a champion."""
    mistakes: list[Mistake]
    """Most confident first."""
    robustness: list[Robustness]
    """[] unless it was asked for."""
    seconds: float
    """What reading and classifying took."""
    reason: str = ""
    """Why the candidate is blessed, a sentence; "" when it is not."""


_ADAPTER = TypeAdapter(Evaluation)


def write_evaluation(evaluation: Evaluation, folder: str) -> None:
    """Puts it into the artifact's folder."""
    os.makedirs(folder, exist_ok=True)
    Path(folder, FILE).write_bytes(_ADAPTER.dump_json(evaluation))


def read_evaluation(folder: str) -> Evaluation:
    """What is in the artifact's folder."""
    return _ADAPTER.validate_json(Path(folder, FILE).read_bytes())


def to_values(one: Any) -> dict[str, float]:
    """The metrics of a `Scores` or a `ClassMetrics` by name, those that are defined."""
    found = {name: getattr(one, name) for name in one.__dataclass_fields__ if name not in ("name", "images")}
    return {
        name: value.value if isinstance(value, Estimate) else value
        for name, value in found.items()
        if value is not None
    }
