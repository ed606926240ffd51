"""What the page shows: plain values, and the arithmetic on them."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONG = 50
"""A table of more classes than this is cut or folded."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image on the page."""

    uri: str
    """A data: URI; "" when the file could not be shown."""
    width: int
    """On the page, in CSS pixels."""
    height: int
    """Likewise."""
    pixelated: bool
    """True when it is enlarged and its pixels are to stay crisp."""
    caption: str
    """Where the file was read from."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sides of a split's images in pixels, as the statistics have them."""

    width: tuple[int, int, int]
    """Lowest, median and highest."""
    height: tuple[int, int, int]
    """Likewise."""


@dataclass(frozen=True, kw_only=True)
class SplitContents:
    """One split of the data."""

    counts: Mapping[str, int]
    """Images by class."""
    sizes: Sizes
    """Their sides."""
    kinds: Mapping[str, int]
    """Images by format and channels, such as "JPEG, RGB"."""
    extents: Mapping[tuple[int, int], int]
    """Images by (width, height), each side as `size_step`."""
    samples: Mapping[str, Sequence[Picture]]
    """A few pictures by class."""
    anomalies: Sequence[str]
    """What ExampleValidator found, a sentence each."""

    @property
    def size(self) -> int:
        """Number of images."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A test image with a wrong prediction."""

    picture: Picture
    label: str
    """The class it has."""
    predicted: str
    """The class it was given."""
    probability: float
    """The model's, of the predicted class, 0 … 1."""
    label_probability: float
    """The model's, of the class it has, 0 … 1."""


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Test images by class and predicted class."""

    classes: Sequence[str]
    counts: Sequence[Sequence[int]]
    """counts[true][predicted], in the order of `classes`."""

    def pairs(self) -> list[tuple[str, str, int, float]]:
        """(true, predicted, images, their share of the true class) of every confusion there is, most frequent first."""
        found = [
            (self.classes[row], self.classes[column], count, count / sum(counts))
            for row, counts in enumerate(self.counts)
            for column, count in enumerate(counts)
            if count and row != column
        ]
        return sorted(found, key=lambda pair: (-pair[2], -pair[3], pair[0], pair[1]))

    def mistakes(self, index: int) -> int:
        """Images that the class lost to others or took from them."""
        return sum(self.counts[index]) + sum(row[index] for row in self.counts) - 2 * self.counts[index][index]

    def condensed(self, limit: int) -> "Confusion":
        """At most `limit` rows and columns: the classes with the most mistakes, all others as one."""
        if len(self.classes) <= limit:
            return self
        worst = sorted(range(len(self.classes)), key=lambda index: (-self.mistakes(index), index))[: limit - 1]
        groups = [[index] for index in sorted(worst)]
        groups.append([index for index in range(len(self.classes)) if index not in set(worst)])
        names = [self.classes[group[0]] for group in groups[:-1]]
        return Confusion(
            classes=[*names, f"{len(groups[-1])} other classes"],
            counts=[
                [sum(self.counts[row][column] for row in rows for column in columns) for columns in groups]
                for rows in groups
            ],
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the Evaluator and the Pusher decided."""

    blessed: bool
    misses: Sequence[str]
    """A sentence for each threshold that was missed."""
    accuracy: float
    """Over all test images, 0 … 1."""
    images: int
    """Number of test images."""
    by_class: Mapping[str, float]
    """Accuracy over the images of each class."""
    threshold: float
    """`evaluator.min_accuracy`."""
    class_threshold: float
    """`evaluator.min_class_accuracy`."""
    champion_version: int | None
    """The version being served when this model was judged; None when there was none."""
    champion_accuracy: float | None
    champion_by_class: Mapping[str, float]
    pushed_version: str | None
    """None when nothing was pushed."""
    destination: str | None
    """Where it was pushed to."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """An artifact this page was made from."""

    producer: str
    output: str
    type: str
    id: int
    uri: str


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Everything on the page."""

    name: str
    """Of the pipeline."""
    run: str
    """Identity of the run that wrote the page."""
    written: str
    """When, in UTC."""
    outcome: Outcome
    splits: Mapping[str, SplitContents]
    """By name, in the order train, eval, test."""
    input_size: tuple[int, int]
    """Width and height of the model's input, in pixels."""
    schema: Sequence[tuple[str, str, str]]
    """(feature, type, what is demanded of it)."""
    history: Mapping[str, Sequence[float]]
    """Per epoch, as Keras names it: loss, accuracy, val_loss, val_accuracy."""
    training: Mapping[str, Any]
    """The settings the model was trained with, the Tuner's values in place."""
    parameters: int
    """Number of trainable numbers in the model."""
    hyperparameters: Mapping[str, Any]
    """The values that a search found best, {} without one."""
    trials: Sequence[Mapping[str, Any]]
    """trial_id, epochs, values by key path and metrics of each trial, best first; [] when no search ran."""
    confusion: Confusion
    mistakes: Sequence[Mistake]
    """Most confident first."""
    lineage: Sequence[Artifact]
    versions: Mapping[str, str]
    """By package."""
    configuration: str
    """The resolved configuration as YAML."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """The folder of each input artifact, by the component's name of the input: what `read` looks into."""

    @property
    def classes(self) -> list[str]:
        """Every class of any split, in the order people expect."""
        return sorted({name for split in self.splits.values() for name in split.counts}, key=natural)

    def read(self, artifact: str, name: str) -> Any:
        """A JSON file in an input artifact; None when the run has no such artifact or file."""
        file = Path(self.folders.get(artifact, ""), name)
        return json.loads(file.read_text(encoding="utf-8")) if artifact in self.folders and file.is_file() else None


def interval(share: float, count: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share seen in `count` draws (Wilson, JASA 22, 1927)."""
    if not count:
        return 0.0, 1.0
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(middle - half, 0.0), min(middle + half, 1.0)


STEPS_PER_OCTAVE = 12


def size_step(pixels: int) -> int:
    """A side's length on a scale of 6 % steps: however many images there are, few sizes remain to be counted."""
    return round(STEPS_PER_OCTAVE * math.log2(pixels))


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Sorts "9" before "10", and both before "a"."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(False, int(part), "") if part.isdecimal() else (True, 0, part.lower()) for part in parts]
