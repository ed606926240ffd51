"""The analysis: TFT's, over the names of the classes, or over every training image where pixels are to be standardized.

TFT keeps what it found of each span in a cache, in a folder named by the content of the span's files: a new span costs
its own images only, wherever the files of the earlier ones are now.
"""

import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import beam as tft_beam
from tensorflow_transform.beam import analysis_graph_builder, analyzer_cache
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils
from tfx.utils import io_utils
from tfx_bsl.coders import example_coder
from tfx_bsl.tfxio import tensor_adapter, tf_example_record

from components.transform.records import batches
from transform import features
from transform.config import TransformConfig, to_json
from transform.preprocessing import preprocessing_fn

INPUTS = (features.IMAGE, features.LABEL, features.PATH)
"""What the graph reads of a raw example; all are bytes."""
GZIP_TRAILER = 8
"""Bytes at the end of a gzip file: CRC-32 and length of what it holds (RFC 1952)."""

Spans = Sequence[Sequence[str]]
"""The training split's files, by span."""


def analyze(
    pipeline: beam.Pipeline,
    config: TransformConfig,
    spans: Spans,
    classes: Iterable[str],
    *,
    graph: str,
    cache: str,
    earlier: str | None,
) -> int:
    """Adds to a pipeline what analyses the training split and writes the transform graph.

    Args:
      pipeline: Beam's, within a `tft_beam.Context`.
      config: how images are read.
      spans: the files.
      classes: the names in them.
      graph: folder for the graph.
      cache: folder for what is found.
      earlier: such a folder of an earlier analysis.

    Returns:
      How many spans are read; 0 when the names are all that is to be known.
    """
    function = functools.partial(preprocessing_fn, custom_config={"transform": to_json(config)})
    if config.normalization == "standardize":
        transform_fn, read = analyze_images(pipeline, function, config, spans, cache, earlier)
    else:
        transform_fn, read = analyze_names(pipeline, function, classes), 0
    _ = transform_fn | tft_beam.WriteTransformFn(graph)
    metadata = dataset_metadata.DatasetMetadata(raw_schema())
    _ = metadata | tft_beam.WriteMetadata(os.path.join(graph, tft.TFTransformOutput.RAW_METADATA_DIR), pipeline)
    return read


def analyze_names(pipeline: beam.Pipeline, function: Callable, classes: Iterable[str]) -> Any:
    """TFT's function, of an analysis that sees no image."""
    names = pa.array([[name.encode()] for name in classes], pa.large_list(pa.large_binary()))
    batch = pa.RecordBatch.from_arrays([names], [features.LABEL])
    return (pipeline | beam.Create([batch]), layout([features.LABEL])) | tft_beam.AnalyzeDataset(function)


def analyze_images(
    pipeline: beam.Pipeline,
    function: Callable,
    config: TransformConfig,
    spans: Spans,
    cache: str,
    earlier: str | None,
) -> tuple[Any, int]:
    """TFT's function, and the number of spans that are read because nothing is known of them yet."""
    keyed = {analyzer_cache.DatasetKey(fingerprint(files, config)): files for files in spans}
    specs = tensor_adapter.TensorAdapter(layout(INPUTS)).OriginalTypeSpecs()
    known = {}
    if earlier:
        entries = analysis_graph_builder.get_analysis_cache_entry_keys(function, specs, list(keyed), False)
        known = pipeline | analyzer_cache.ReadAnalysisCacheFromFS(earlier, list(keyed), entries)
        carry_over(earlier, cache, [key.key for key in keyed])
    unknown = analysis_graph_builder.get_analysis_dataset_keys(function, specs, list(keyed), known, False)
    data = {
        key: pipeline | f"Read{number}" >> beam.Create([list(files)]) | f"Batch{number}" >> beam.ParDo(Read(config))
        if key in unknown
        else None
        for number, (key, files) in enumerate(keyed.items())
    }
    transform_fn, found = (data, known, layout(INPUTS)) | tft_beam.AnalyzeDatasetWithCache(function, pipeline=pipeline)
    if found:
        _ = found | analyzer_cache.WriteAnalysisCacheToFS(pipeline, cache, list(keyed))
    return transform_fn, len(unknown)


class Read(beam.DoFn):
    """Files of raw examples → record batches of what the graph reads."""

    def __init__(self, config: TransformConfig):
        self._config = config

    def process(self, files: list[str]) -> Iterator[pa.RecordBatch]:
        decoder = example_coder.ExamplesToRecordBatchDecoder(raw_schema().SerializeToString())
        for batch in batches(files, self._config):
            yield decoder.DecodeBatch(batch)


def raw_schema() -> schema_pb2.Schema:
    """Of the raw examples, as far as the graph reads them."""
    spec = {name: tf.io.FixedLenFeature([1], tf.string) for name in INPUTS}
    return schema_utils.schema_from_feature_spec(spec)


def layout(columns: Iterable[str]) -> tensor_adapter.TensorAdapterConfig:
    """How record batches of these columns become tensors."""
    io = tf_example_record.TFExampleBeamRecord("record", ["tfx_vision"], schema=raw_schema())
    return io.Project(list(columns)).TensorAdapterConfig()


def fingerprint(files: Iterable[str], config: TransformConfig) -> str:
    """Hexadecimal, of what is in the files and how it is read; reads 8 bytes a file, not the images."""
    digest = hashlib.sha256(json.dumps(to_json(config), sort_keys=True).encode())
    for name in files:
        with tf.io.gfile.GFile(name, "rb") as file:
            file.seek(tf.io.gfile.stat(name).length - GZIP_TRAILER)
            digest.update(file.read(GZIP_TRAILER))
    return digest.hexdigest()


def carry_over(earlier: str, cache: str, keys: Iterable[str]) -> None:
    """Copies what is known of these spans, so that the newest cache always has all of it."""
    for key in keys:
        if tf.io.gfile.isdir(os.path.join(earlier, key)):
            io_utils.copy_dir(os.path.join(earlier, key), os.path.join(cache, key))


def earlier_cache(cache: str) -> str | None:
    """The cache of the newest earlier execution: TFX keeps them beside each other, named by the execution's number."""
    folder, own = os.path.split(cache.rstrip("/"))
    names = [name.rstrip("/") for name in tf.io.gfile.listdir(folder)]
    beside = [name for name in names if name.isdecimal() and own.isdecimal() and int(name) < int(own)]
    return os.path.join(folder, max(beside, key=int)) if beside else None
