"""The Beam pipeline of ImageExampleGen."""

import json
import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from components.image_example_gen.config import DataConfig
from components.image_example_gen.folders import DataError, ImageFile, list_images
from components.image_example_gen.records import describe, split_of
from transform import features
from transform.config import from_json

log = logging.getLogger("tfx_vision.ImageExampleGen")

CHUNK = 256
"""Files read in one Beam element: enough to make Beam's cost per element vanish."""


class Executor(base_beam_executor.BaseBeamExecutor):
    """Reads image files and writes a split of tf.Examples for each entry of the buckets."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        config = from_json(DataConfig, json.loads(exec_properties["config"]))
        examples = artifact_utils.get_single_instance(output_dict["examples"])
        examples.split_names = artifact_utils.encode_split_names(list(features.SPLITS))
        sources: list[tuple[list[ImageFile], dict[str, int]]] = [(list_images(config.path), config.buckets)]
        if config.test_path:
            sources.append((list_images(config.test_path), {"test": 1}))
        total = sum(len(images) for images, _ in sources)
        log.info("reading %s images", f"{total:,}")
        chunks = [
            (images[start : start + CHUNK], buckets)
            for images, buckets in sources
            for start in range(0, len(images), CHUNK)
        ]
        with self._make_beam_pipeline() as pipeline:
            records = (
                pipeline
                | "List" >> beam.Create(chunks, reshuffle=False)
                | "Read" >> beam.ParDo(ReadImages(total)).with_outputs(*features.SPLITS)
            )
            for split in features.SPLITS:
                folder = artifact_utils.get_split_uri([examples], split)
                records[split] | f"Write[{split}]" >> beam.io.WriteToTFRecord(
                    os.path.join(folder, "data_tfrecord"), file_name_suffix=".gz", num_shards=config.shards
                )
        refuse_empty_splits(pipeline.result, config)


class ReadImages(beam.DoFn):
    """(files, buckets) → serialized tf.Examples, each on the output named like its split."""

    def __init__(self, total: int):
        self._total = total
        self._read = 0

    def process(self, chunk: tuple[Iterable[ImageFile], dict[str, int]]) -> Iterator[beam.pvalue.TaggedOutput]:
        files, buckets = chunk
        for file in files:
            with FileSystems.open(file.path) as stream:
                encoded = stream.read()
            try:
                facts = describe(encoded, file.label, file.path)
            except ValueError as error:
                log.warning("left out: %s", error)
                beam.metrics.Metrics.counter("images", "left_out").inc()
                continue
            split = split_of(facts[features.CONTENT_HASH].decode(), buckets)  # type: ignore[union-attr]
            beam.metrics.Metrics.counter("images", split).inc()
            yield beam.pvalue.TaggedOutput(split, serialize(facts))
            self._read += 1
        log.info(
            "%s of %s images", f"{self._read:,}", f"{self._total:,}", extra={"progress": (self._read, self._total)}
        )


def serialize(facts: dict[str, bytes | int]) -> bytes:
    """Features → a serialized tf.Example."""
    example = tf.train.Example()
    for name, value in facts.items():
        if isinstance(value, bytes):
            example.features.feature[name].bytes_list.value.append(value)
        else:
            example.features.feature[name].int64_list.value.append(value)
    return example.SerializeToString()


def refuse_empty_splits(result: Any, config: DataConfig) -> None:
    """Stops when a split got no image at all, which happens to tiny datasets."""
    counters = result.metrics().query(beam.metrics.MetricsFilter().with_namespace("images"))["counters"]
    counts = {counter.key.metric.name: counter.committed for counter in counters}
    if left_out := counts.get("left_out"):
        log.warning("%s files left out, each with its reason in the log", f"{left_out:,}")
    if empty := [split for split in features.SPLITS if not counts.get(split)]:
        raise DataError(
            f"{config.path}: split {empty[0]} got no image; add images or give it more buckets in data.splits."
        )
