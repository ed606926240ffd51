"""What the page shows: plain values, and the arithmetic on them."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.evaluator.evaluation import Evaluation

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
class Pixels:
    """What was measured on a class's images in a split; medians over them."""

    measured: int
    """Images."""
    brightness: float
    """As `features.BRIGHTNESS`, likewise the next ones."""
    contrast: float
    sharpness: float
    channels: tuple[float, float, float]
    """Means of red, green and blue, 0 … 255."""


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
    pixels: Mapping[str, Pixels] = field(default_factory=dict)
    """By class, of those of which any image was measured."""

    @property
    def size(self) -> int:
        """Number of images."""
        return sum(self.counts.values())


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the evaluation was measured by, and what came of it."""

    threshold: float
    """`evaluator.min_accuracy`."""
    class_threshold: float
    """`evaluator.min_class_accuracy`."""
    champion_version: int | None
    """The version being served when this model was judged; None when there was none."""
    pushed_version: str | None
    """None when nothing was pushed."""
    destination: str | None
    """Where it was pushed to."""


@dataclass(frozen=True, kw_only=True)
class Push:
    """A version at the serving destination."""

    destination: str
    version: int
    label: str | None
    """`stable`, `canary` or none."""
    pushed_at: str
    """In UTC; "" when it came without a manifest, as do the next ones."""
    by: str
    why: str
    accuracy: float | None
    champion: int | None
    """The version it was judged against."""
    withdrawn: str
    """Why it was rolled back; "" where it was not."""


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
    evaluation: Evaluation
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
    hyperparameters: Mapping[str, Any]
    """The values that a search found best, {} without one."""
    trials: Sequence[Mapping[str, Any]]
    """trial_id, epochs, values by key path and metrics of each trial, best first; [] when no search ran."""
    mistakes: Mapping[str, Picture]
    """Pictures of the evaluation's mistakes by content hash."""
    lineage: Sequence[Artifact]
    versions: Mapping[str, str]
    """By package."""
    configuration: str
    """The resolved configuration as YAML."""
    pushes: Sequence[Push] = ()
    """Every version at the serving destination, the newest first."""
    spans: Sequence[int] = ()
    """Trained on, oldest first; the splits tell of the last of them."""
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


STEPS_PER_OCTAVE = 12


def size_step(pixels: int) -> int:
    """A side's length on a scale of 6 % steps: however many images there are, few sizes remain to be counted."""
    return round(STEPS_PER_OCTAVE * math.log2(pixels))


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Sorts "9" before "10", and both before "a"."""
    parts = [part for part in re.split(r"(\d+)", name) if part]
    return [(False, int(part), "") if part.isdecimal() else (True, 0, part.lower()) for part in parts]
