"""Examples → what is counted of them: one pass, in which all models see the same images."""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf

from components.evaluator import corruptions
from components.evaluator.slices import Slice, feature_names, slice_values
from components.evaluator.tally import (
    CANDIDATE,
    SAMPLES,
    Answers,
    ClassCounts,
    Mistake,
    Sample,
    Tally,
    score_rows,
)
from transform import features

BATCH = 128
"""Images in memory at a time."""


class Model:
    """A saved model and its class names."""

    def __init__(self, folder: str):
        self._loaded = tf.saved_model.load(folder)
        self._examples = self._loaded.signatures["examples"]
        self._images = self._loaded.signatures["serving_default"]
        self.classes: list[str] = []
        self.parameters = sum(variable.shape.num_elements() for variable in self._examples.trainable_variables)

    def of_examples(self, serialized: tf.Tensor, labels: Sequence[str]) -> Answers:
        """Classifies serialized tf.Examples; `labels` are their classes."""
        return self._answers(self._examples(serialized), labels)

    def of_images(self, encoded: Sequence[bytes], labels: Sequence[str]) -> Answers:
        """Classifies encoded images."""
        return self._answers(self._images(tf.constant(encoded)), labels)

    def _answers(self, outputs: dict[str, tf.Tensor], labels: Sequence[str]) -> Answers:
        probabilities = outputs["probabilities"].numpy()
        if not self.classes:
            names = outputs["all_classes" if "all_classes" in outputs else "classes"]
            self.classes = [name.decode() for name in names[0].numpy()]
        refused = np.zeros(len(probabilities), bool)
        if "status" in outputs:  # models that answer for each image whether it could be read
            refused = np.array([bool(status) for status in outputs["status"].numpy()])
        position = {name: index for index, name in enumerate(self.classes)}
        return Answers(probabilities, np.array([position.get(label, -1) for label in labels]), refused)


@functools.lru_cache(maxsize=4)
def load_model(folder: str) -> Model:
    """A model, once per process."""
    return Model(folder)


class CountFile(beam.DoFn):
    """A file of GZIP'd TFRecords of raw examples → one `Tally`."""

    def __init__(self, models: Mapping[str, str], slicings: Sequence[tuple[str, ...]], top_k: int):
        """`models`: folders by name, the candidate first; `slicings`: what to slice by."""
        self._folders, self._slicings, self._top_k = dict(models), list(slicings), top_k

    def process(self, file: str) -> Iterator[Tally]:
        models = {name: load_model(folder) for name, folder in self._folders.items()}
        tally = Tally(parameters={name: model.parameters for name, model in models.items()})
        names = [features.LABEL, features.PATH, features.CONTENT_HASH, *feature_names(self._slicings)]
        for serialized, batch in read(file, names):
            labels = [label.decode() for label in batch[features.LABEL]]
            answers = {name: model.of_examples(serialized, labels) for name, model in models.items()}
            tally.classes = {name: model.classes for name, model in models.items()}
            for name, one in answers.items():
                tally.counts.setdefault(name, ClassCounts.empty(len(models[name].classes))).add(one)
            tally.add(
                {keys: slices_of(keys, batch) for keys in self._slicings},
                {name: score_rows(one, self._top_k) for name, one in answers.items()},
            )
            tally.keep_samples(samples(answers[CANDIDATE], serialized, batch))
            tally.keep(mistakes(answers[CANDIDATE], models[CANDIDATE].classes, labels, batch))
        yield tally


class CountChanged(beam.DoFn):
    """The same file → sums of the candidate's `score_rows` by change; "" is the images as they are."""

    def __init__(self, folder: str, top_k: int):
        self._folder, self._top_k = folder, top_k

    def process(self, file: str, lowest: Sequence[bytes]) -> Iterator[tuple[str, np.ndarray]]:
        """`lowest`: the content hashes of the sample, of all files."""
        model, names = load_model(self._folder), (features.CONTENT_HASH, features.LABEL, features.IMAGE)
        rows = (row for _, batch in read(file, names) for row in zip(*(batch[name] for name in names), strict=True))
        last = max(lowest, default=b"")
        taken = (row for row in rows if row[0] <= last)
        while some := list(itertools.islice(taken, BATCH)):
            labels, images = [label.decode() for _, label, _ in some], [image for _, _, image in some]
            yield "", score_rows(model.of_images(images, labels), self._top_k).sum(axis=0)
            for name in corruptions.CHANGES:
                changed = [corruptions.change(image, name, int(hashed[:8], 16)) for hashed, _, image in some]
                yield name, score_rows(model.of_images(changed, labels), self._top_k).sum(axis=0)


@beam.ptransform_fn
def LowestHashes(files: Any, size: int) -> Any:
    """Files → one list, the lowest content hashes of all: as good as drawn, however they are spread over files."""
    return files | "Hashes" >> beam.FlatMap(content_hashes) | "Lowest" >> beam.combiners.Top.Smallest(size)


def content_hashes(file: str) -> Iterator[bytes]:
    """Of a file's images."""
    for _, batch in read(file, [features.CONTENT_HASH]):
        yield from batch[features.CONTENT_HASH]


class Merge(beam.CombineFn):
    """Tallies → one."""

    def create_accumulator(self) -> Tally:
        return Tally()

    def add_input(self, accumulator: Tally, element: Tally) -> Tally:
        return accumulator.merge(element)

    def merge_accumulators(self, accumulators: Any) -> Tally:
        return functools.reduce(Tally.merge, accumulators, Tally())

    def extract_output(self, accumulator: Tally) -> Tally:
        return accumulator


def slices_of(keys: tuple[str, ...], batch: Mapping[str, np.ndarray]) -> list[Slice | None]:
    """The slice of each image; None where it lacks one of the features."""
    columns = [slice_values(name, batch) for name in keys]
    return [tuple(zip(keys, values, strict=True)) if all(values) else None for values in zip(*columns, strict=True)]


def samples(answers: Answers, serialized: tf.Tensor, batch: Mapping[str, np.ndarray]) -> list[Sample]:
    """The images of a batch that may be kept with their answers."""
    hashes = batch[features.CONTENT_HASH]
    readable = [index for index in np.argsort(hashes) if not answers.refused[index]][:SAMPLES]
    return [
        Sample(hashes[index].decode(), serialized[index].numpy(), tuple(answers.probabilities[index].tolist()))
        for index in readable
    ]


def mistakes(
    answers: Answers, classes: Sequence[str], labels: Sequence[str], batch: Mapping[str, np.ndarray]
) -> list[Mistake]:
    """The wrong predictions of a batch."""
    of_label, predicted = answers.label_probabilities, answers.predicted
    return [
        Mistake(
            probability=float(answers.probabilities[index, predicted[index]]),
            content_hash=batch[features.CONTENT_HASH][index].decode(),
            path=batch[features.PATH][index].decode(),
            label=labels[int(index)],
            predicted=classes[int(predicted[index])],
            label_probability=float(of_label[index]),
        )
        for index in np.flatnonzero(~answers.right & ~answers.refused)
    ]


def read(file: str, names: Sequence[str]) -> Iterator[tuple[tf.Tensor, dict[str, np.ndarray]]]:
    """Serialized examples string [batch] and the named features [batch], batch by batch.

    A feature that an example lacks is b"", -1 or NaN; one that the file's first example lacks is left out of
    slicing altogether: its values are all b"".
    """
    records = tf.data.TFRecordDataset(file, compression_type="GZIP")
    spec = feature_spec(records, names)
    dataset = records.batch(BATCH).map(lambda serialized: (serialized, tf.io.parse_example(serialized, spec)))
    for serialized, parsed in dataset.prefetch(1):
        yield serialized, {name: value.numpy() for name, value in parsed.items()}


def feature_spec(records: tf.data.Dataset, names: Sequence[str]) -> dict[str, tf.io.FixedLenFeature]:
    """How to parse the features, by their kind in the first example."""
    defaults = {"int64_list": (tf.int64, -1), "float_list": (tf.float32, float("nan")), "bytes_list": (tf.string, b"")}
    kinds: dict[str, str | None] = {}
    for record in records.take(1).as_numpy_iterator():
        first = tf.train.Example.FromString(record).features.feature
        kinds = {name: first[name].WhichOneof("kind") for name in names if name in first}
    return {
        name: tf.io.FixedLenFeature([], *defaults[kinds.get(name) or "bytes_list"]) for name in dict.fromkeys(names)
    }
