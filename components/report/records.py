"""Reads the raw examples, and has the model look at the test split."""

import heapq
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from components.report.contents import Confusion, Mistake, Picture, natural, size_step
from components.report.pictures import picture
from transform import features

log = logging.getLogger("tfx_vision.Report")

BATCH = 128
"""Records in memory at a time."""
MISTAKES = 24
"""Mistakes that are shown."""
CHANNELS = {1: "grey", 2: "grey + alpha", 3: "RGB", 4: "RGB + alpha"}

_SPEC = {
    **{
        name: tf.io.FixedLenFeature([], tf.string)
        for name in (features.IMAGE, features.LABEL, features.CONTENT_HASH, features.PATH, features.FORMAT)
    },
    **{name: tf.io.FixedLenFeature([], tf.int64) for name in (features.WIDTH, features.HEIGHT, features.CHANNELS)},
}


class Kept(NamedTuple):
    """An image that may be shown; the heaps keep the highest and ties are settled by content."""

    rank: float | int
    content_hash: bytes
    encoded: bytes
    path: str
    label: str
    predicted: str
    label_probability: float


class Survey:
    """What a pass over a split's headers leaves behind; memory does not grow with the number of images."""

    def __init__(self, classes: Collection[str], samples: int):
        self.kinds: Counter[str] = Counter()
        self.extents: Counter[tuple[int, int]] = Counter()
        self._classes, self._samples = classes, samples
        self._kept: dict[str, list[Kept]] = defaultdict(list)

    def add(self, batch: dict[str, np.ndarray]) -> None:
        """Counts a batch. Those whose content hash is lowest are kept: as good as drawn, and the same every time."""
        for index, label in enumerate(batch[features.LABEL]):
            kind = CHANNELS[int(batch[features.CHANNELS][index])]
            self.kinds[f"{batch[features.FORMAT][index].decode()}, {kind}"] += 1
            self.extents[size_step(batch[features.WIDTH][index]), size_step(batch[features.HEIGHT][index])] += 1
            name, content_hash = label.decode(), batch[features.CONTENT_HASH][index]
            if name not in self._classes:
                continue
            rank = -int(content_hash[:12], 16)
            if len(self._kept[name]) < self._samples or rank > self._kept[name][0].rank:
                image, path = batch[features.IMAGE][index], batch[features.PATH][index].decode()
                keep(self._kept[name], Kept(rank, content_hash, image, path, name, "", 0.0), self._samples)

    def pictures(self, side: int) -> dict[str, list[Picture]]:
        """The kept images by class."""
        return {
            name: [picture(one.encoded, one.path, side) for one in sorted(kept, reverse=True)]
            for name, kept in self._kept.items()
        }


class Predictions:
    """The model's answers on the test split, as counts and its most confident mistakes."""

    def __init__(self, model_folder: str):
        self._model = tf.saved_model.load(model_folder)
        self._predict = self._model.signatures["examples"]
        self._names: list[str] = []
        self._counts = np.zeros((0, 0), np.int64)
        self._mistakes: list[Kept] = []

    def add(self, serialized: tf.Tensor, batch: dict[str, np.ndarray]) -> None:
        """Classifies a batch of serialized tf.Examples."""
        answer = {name: value.numpy() for name, value in self._predict(serialized).items()}
        if not self._names:
            self._names = [name.decode() for name in answer["all_classes"][0]]
            self._counts = np.zeros((len(self._names), len(self._names)), np.int64)
        position = {name: index for index, name in enumerate(self._names)}
        labels = np.array([position[label.decode()] for label in batch[features.LABEL]])
        predicted = answer["probabilities"].argmax(axis=1)
        np.add.at(self._counts, (labels, predicted), 1)
        for index in np.flatnonzero(labels != predicted):
            rank = float(answer["probability"][index])
            if len(self._mistakes) < MISTAKES or rank >= self._mistakes[0].rank:
                one = Kept(
                    rank,
                    batch[features.CONTENT_HASH][index],
                    batch[features.IMAGE][index],
                    batch[features.PATH][index].decode(),
                    self._names[labels[index]],
                    self._names[predicted[index]],
                    float(answer["probabilities"][index, labels[index]]),
                )
                keep(self._mistakes, one, MISTAKES)

    @property
    def parameters(self) -> int:
        """Number of trainable numbers in the model."""
        return sum(variable.shape.num_elements() for variable in self._predict.trainable_variables)

    def confusion(self) -> Confusion:
        """Counts, the classes in the order people expect."""
        order = sorted(range(len(self._names)), key=lambda index: natural(self._names[index]))
        return Confusion(
            classes=[self._names[index] for index in order], counts=self._counts[np.ix_(order, order)].tolist()
        )

    def mistakes(self, side: int) -> list[Mistake]:
        """Most confident first."""
        return [
            Mistake(
                picture=picture(one.encoded, one.path, side),
                label=one.label,
                predicted=one.predicted,
                probability=float(one.rank),
                label_probability=one.label_probability,
            )
            for one in sorted(self._mistakes, reverse=True)
        ]


def keep(heap: list[Kept], one: Kept, limit: int) -> None:
    """Adds to a heap that holds the `limit` highest."""
    if len(heap) < limit:
        heapq.heappush(heap, one)
    else:
        heapq.heappushpop(heap, one)


def read_split(folder: str) -> Iterator[tuple[tf.Tensor, dict[str, np.ndarray]]]:
    """Serialized examples string [batch] and their parsed features, in batches."""
    files = sorted(tf.io.gfile.glob(os.path.join(folder, "*.gz")))
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP", num_parallel_reads=2)
    dataset = dataset.batch(BATCH).map(lambda serialized: (serialized, tf.io.parse_example(serialized, _SPEC)))
    for serialized, parsed in dataset.prefetch(1):
        yield serialized, {name: value.numpy() for name, value in parsed.items()}


def survey(
    folder: str,
    split: str,
    total: int,
    *,
    classes: Collection[str],
    samples: int,
    predictions: Predictions | None = None,
) -> Survey:
    """One pass over a split's examples.

    Args:
      folder: of the split's GZIP'd TFRecords.
      split: its name, for the log.
      total: number of its images, for the log.
      classes: to keep pictures of.
      samples: pictures to keep per class.
      predictions: also classifies what is read.
    """
    found, done = Survey(classes, samples), 0
    doing = "classifying" if predictions else "reading"
    for serialized, batch in read_split(folder):
        found.add(batch)
        if predictions:
            predictions.add(serialized, batch)
        done += len(batch[features.LABEL])
        log.info("%s %s: %s of %s images", doing, split, f"{done:,}", f"{total:,}", extra={"progress": (done, total)})
    return found
