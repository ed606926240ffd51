"""The executor: TFT analyses the training split in Beam, and TensorFlow alone applies what it found to every split."""

import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tensorflow_transform import beam as tft_beam
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from components.image_example_gen.shards import read_facts
from components.transform.analysis import analyze, earlier_cache
from components.transform.materialization import Materialize
from transform import features
from transform.config import TransformConfig, from_json
from transform.preprocessing import UNUSABLE

log = logging.getLogger("tfx_vision.Transform")

TRAIN = features.SPLITS[0]
"""The split that is analysed."""


class TransformError(ValueError):
    """An image that cannot be used; the message names it."""


class Executor(base_beam_executor.BaseBeamExecutor):
    """Writes the transform graph, the transformed examples of all spans together, and the analyzer cache."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        config = from_json(TransformConfig, json.loads(exec_properties["config"]))
        spans = sorted(input_dict["examples"], key=lambda artifact: artifact.span)
        graph, cache = (
            artifact_utils.get_single_uri(output_dict[name]) for name in ("transform_graph", "updated_analyzer_cache")
        )
        transformed = artifact_utils.get_single_instance(output_dict["transformed_examples"])
        transformed.split_names, transformed.span = spans[-1].split_names, spans[-1].span
        splits = artifact_utils.decode_split_names(transformed.split_names)
        files = {split: [split_files(span, split) for span in spans] for split in splits}
        labels = {split: read_labels(input_dict["facts"], split) for split in splits}
        with explained():
            self._analyze(config, files[TRAIN], sorted(set(labels[TRAIN])), graph, cache)
            pairs = [pair for split in splits for pair in named(files[split], transformed, split)]
            self._materialize(config, pairs, graph, sum(map(len, labels.values())))

    def _analyze(
        self, config: TransformConfig, spans: Sequence[Sequence[str]], classes: Sequence[str], graph: str, cache: str
    ) -> None:
        log.info("analysing the training split")
        tf.io.gfile.makedirs(cache)
        with (
            self._make_beam_pipeline() as pipeline,
            tft_beam.Context(temp_dir=self._get_tmp_dir(), use_deep_copy_optimization=True),
        ):
            earlier = earlier_cache(cache)
            read = analyze(pipeline, config, spans, classes, graph=graph, cache=cache, earlier=earlier)
            if read < len(spans) > 1:
                log.info("%d of %d spans have to be analysed", read, len(spans))

    def _materialize(self, config: TransformConfig, names: Sequence[tuple[str, str]], graph: str, total: int) -> None:
        with self._make_beam_pipeline() as pipeline:
            files = pipeline | "Files" >> beam.Create(list(names)) | beam.Reshuffle()
            _ = files | "Materialize" >> beam.ParDo(Materialize(graph, config, total))


@contextmanager
def explained() -> Iterator[None]:
    """Turns TensorFlow's error for an image that cannot be used into a sentence that names the image."""
    try:
        yield
    except Exception as error:
        if found := re.search(rf"{UNUSABLE}(.+)", str(error)):
            raise TransformError(f"{found[1].strip()}; mend or remove it, and run again.") from None
        raise


def read_labels(facts: Sequence[types.Artifact], split: str) -> list[str]:
    """The class of each image of a split, in all spans."""
    tables = [read_facts(span.uri, split, [features.LABEL]) for span in facts]
    return [label.decode() for table in tables for label in table[features.LABEL].to_pylist()]


def split_files(examples: types.Artifact, split: str) -> list[str]:
    """The files of a split in one artifact."""
    return sorted(tf.io.gfile.glob(os.path.join(artifact_utils.get_split_uri([examples], split), "*.gz")))


def named(spans: Sequence[Sequence[str]], transformed: types.Artifact, split: str) -> list[tuple[str, str]]:
    """Each file of a split with a name for what it becomes, in the order of the spans."""
    files = [file for span in spans for file in span]
    folder = artifact_utils.get_split_uri([transformed], split)
    names = (f"transformed_examples-{number:05}-of-{len(files):05}.gz" for number in range(len(files)))
    return [(file, os.path.join(folder, name)) for file, name in zip(files, names, strict=True)]
