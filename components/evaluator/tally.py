"""What is counted of predictions, so that every metric follows from sums: a batch, a file and a split add up alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from components.evaluator.slices import Slice

CANDIDATE, CHAMPION = "candidate", "champion"
"""The models."""
CALIBRATION_BINS = 15
SCORE_BINS = 2048
SCORE_RANGE = 24.0
"""Scores are counted by their logit from -24 to 24: fine where probabilities are near 0 or 1."""
MISTAKES = 24
"""Mistakes that are kept, the most confident ones."""
SAMPLES = 8
"""Images that are kept with the candidate's answers, those whose content hash is lowest."""

IMAGES, RIGHT, IN_TOP, LOSS = range(4)
BIN_IMAGES = slice(4, 4 + CALIBRATION_BINS)
BIN_CONFIDENCE = slice(BIN_IMAGES.stop, BIN_IMAGES.stop + CALIBRATION_BINS)
BIN_RIGHT = slice(BIN_CONFIDENCE.stop, BIN_CONFIDENCE.stop + CALIBRATION_BINS)
COLUMNS = BIN_RIGHT.stop


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction of the candidate."""

    probability: float
    """Of the predicted class."""
    content_hash: str
    path: str
    label: str
    predicted: str
    label_probability: float
    """Of the right class."""


@dataclass(frozen=True, order=True)
class Sample:
    """An example and the candidate's answer to it: what a server of the model must answer too."""

    content_hash: str
    example: bytes
    """The serialized tf.Example."""
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class Answers:
    """One model's answers to a batch."""

    probabilities: np.ndarray
    """float [batch, classes]."""
    labels: np.ndarray
    """int [batch]: the right class as this model numbers them, -1 where it does not know it."""
    refused: np.ndarray
    """bool [batch]: the model said that it could not read the image; that counts as wrong."""

    @property
    def predicted(self) -> np.ndarray:
        """int [batch], -1 where refused."""
        return np.where(self.refused, -1, self.probabilities.argmax(axis=1))

    @property
    def right(self) -> np.ndarray:
        """bool [batch]."""
        return (self.predicted == self.labels) & (self.labels >= 0)

    @property
    def label_probabilities(self) -> np.ndarray:
        """float [batch]: of the right class, 0 where it is unknown or the image was refused."""
        found = self.probabilities[np.arange(len(self.labels)), np.maximum(self.labels, 0)]
        return np.where((self.labels < 0) | self.refused, 0.0, found)


def score_rows(answers: Answers, top_k: int) -> np.ndarray:
    """What each image adds to the sums of its slices: float64 [batch, COLUMNS]."""
    rows = np.zeros((len(answers.labels), COLUMNS))
    at, right = np.arange(len(rows)), answers.right
    confidence = np.where(answers.refused, 0.0, answers.probabilities.max(axis=1))
    of_label = answers.label_probabilities
    above = (answers.probabilities > of_label[:, np.newaxis]).sum(axis=1)
    rows[:, IMAGES] = 1
    rows[:, RIGHT] = right
    rows[:, IN_TOP] = (above < top_k) & (answers.labels >= 0) & ~answers.refused
    rows[:, LOSS] = -np.log(np.maximum(of_label, 1e-12))
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    rows[at, BIN_IMAGES.start + bins] = 1
    rows[at, BIN_CONFIDENCE.start + bins] = confidence
    rows[at, BIN_RIGHT.start + bins] = right
    return rows


@dataclass
class ClassCounts:
    """One model's classes against each other, over all images."""

    confusion: np.ndarray
    """int [classes, classes]: images by right and predicted class."""
    positive: np.ndarray
    """int [classes, SCORE_BINS]: the scores that images of a class have for it."""
    every: np.ndarray
    """int [classes, SCORE_BINS]: the scores that all images have for it."""
    refused: int = 0
    """Images that the model could not read."""

    @classmethod
    def empty(cls, classes: int) -> "ClassCounts":
        """Nothing counted yet."""
        shape = (classes, SCORE_BINS)
        return cls(np.zeros((classes, classes), np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64))

    def add(self, answers: Answers) -> None:
        """Counts a batch."""
        labels, predicted = answers.labels, answers.predicted
        known = (labels >= 0) & (predicted >= 0)
        np.add.at(self.confusion, (labels[known], predicted[known]), 1)
        bins = score_bins(answers.probabilities)
        flat = (np.arange(len(self.every)) * SCORE_BINS + bins).ravel()
        np.add.at(self.every.reshape(-1), flat, 1)
        np.add.at(self.positive, (labels[labels >= 0], bins[labels >= 0, labels[labels >= 0]]), 1)
        self.refused += int(answers.refused.sum())

    def merge(self, other: "ClassCounts") -> None:
        """Adds what was counted elsewhere."""
        self.confusion += other.confusion
        self.positive += other.positive
        self.every += other.every
        self.refused += other.refused


def score_bins(probabilities: np.ndarray) -> np.ndarray:
    """The bin of each probability's logit."""
    clipped = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-12)
    logits = np.clip(np.log(clipped / (1 - clipped)) / SCORE_RANGE, -1, 1)
    return np.minimum(((logits + 1) / 2 * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)


@dataclass
class Tally:
    """Everything that was counted."""

    classes: dict[str, list[str]] = field(default_factory=dict)
    """Class names by model, in the order of its probabilities."""
    sums: dict[Slice, dict[str, np.ndarray]] = field(default_factory=dict)
    """Sums of `score_rows` by slice and model."""
    flips: dict[Slice, np.ndarray] = field(default_factory=dict)
    """Images that only the candidate, and that only the champion got right, by slice."""
    counts: dict[str, ClassCounts] = field(default_factory=dict)
    """By model."""
    mistakes: list[Mistake] = field(default_factory=list)
    """The candidate's, most confident first."""
    samples: list[Sample] = field(default_factory=list)
    """Images with the candidate's answers."""
    parameters: dict[str, int] = field(default_factory=dict)
    """Trainable numbers, by model."""

    def add(self, slicings: Mapping[tuple[str, ...], Sequence[Slice | None]], rows: Mapping[str, np.ndarray]) -> None:
        """Adds a batch to the sums.

        Args:
          slicings: the slice of each image, by slicing; None where it belongs to none.
          rows: `score_rows` by model.
        """
        flips = np.zeros((len(next(iter(rows.values()))), 2))
        if len(rows) == 2:
            candidate, champion = (of_model[:, RIGHT] for of_model in rows.values())
            flips = np.stack([candidate > champion, champion > candidate], axis=1).astype(float)
        for members in [[()] * len(flips), *slicings.values()]:
            for one, at in grouped(members).items():
                sums = self.sums.setdefault(one, {name: np.zeros(COLUMNS) for name in rows})
                for name, of_model in rows.items():
                    sums[name] += of_model[at].sum(axis=0)
                self.flips[one] = self.flips.get(one, np.zeros(2)) + flips[at].sum(axis=0)

    def keep(self, mistakes: Sequence[Mistake]) -> None:
        """Keeps the most confident mistakes; ties are settled by content, so that every run keeps the same."""
        ranked = sorted([*self.mistakes, *mistakes], key=lambda one: (-one.probability, one.content_hash))
        self.mistakes = ranked[:MISTAKES]

    def keep_samples(self, samples: Sequence[Sample]) -> None:
        """Keeps those with the lowest hashes: as good as drawn, and the same every time."""
        self.samples = sorted([*self.samples, *samples])[:SAMPLES]

    def merge(self, other: "Tally") -> "Tally":
        """Adds what was counted elsewhere; returns itself."""
        self.classes |= other.classes
        self.parameters |= other.parameters
        for one, sums in other.sums.items():
            mine = self.sums.setdefault(one, {name: np.zeros(COLUMNS) for name in sums})
            for name, values in sums.items():
                mine[name] += values
            self.flips[one] = self.flips.get(one, np.zeros(2)) + other.flips[one]
        for name, counts in other.counts.items():
            if name in self.counts:
                self.counts[name].merge(counts)
            else:
                self.counts[name] = counts
        self.keep(other.mistakes)
        self.keep_samples(other.samples)
        return self


def grouped(members: Sequence[Slice | None]) -> dict[Slice, list[int]]:
    """Positions by slice."""
    found: dict[Slice, list[int]] = {}
    for position, one in enumerate(members):
        if one is not None:
            found.setdefault(one, []).append(position)
    return found
