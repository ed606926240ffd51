"""TFX's Transform executor, for images."""

import logging
import re
from collections.abc import Iterator
from typing import Any
from unittest import mock

import apache_beam as beam
import tensorflow as tf
from apache_beam.io import filebasedsink
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.transform import executor

from transform import features
from transform.preprocessing import UNUSABLE

log = logging.getLogger("tfx_vision.Transform")

COMPRESSION = 1
"""Level of the gzip around the pixels: photographs hardly shrink, and zlib's usual 6 takes longer than decoding."""
LOGGED = 1000
"""Images from one line of progress to the next."""


class TransformError(ValueError):
    """An image that cannot be used; the message names it."""


class Executor(executor.Executor):
    """Writes faster, says how far it is, and names the image that stopped it."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        try:
            # TFX's executor builds its processor itself.
            with mock.patch.object(executor, "TransformProcessor", Processor):
                super().Do(input_dict, output_dict, exec_properties)
        except Exception as error:
            if found := re.search(rf"{UNUSABLE}(.+)", str(error)):
                raise TransformError(f"{found[1].strip()}; mend or remove it, and run again.") from None
            raise


class Processor(executor.TransformProcessor):
    """Reads what `preprocessing_fn` needs, and writes by TensorFlow's own writer."""

    def _GetSchema(self, schema_path: str) -> schema_pb2.Schema:
        schema = super()._GetSchema(schema_path)
        known = {feature.name for feature in schema.feature}
        # Nothing is to be learned from statistics of images as text and of paths, so the schema may be without them.
        for name in sorted({features.IMAGE, features.LABEL, features.PATH} - known):
            feature = schema.feature.add(name=name, type=schema_pb2.BYTES)
            feature.presence.min_fraction = 1.0
            feature.shape.dim.add(size=1)
        return schema

    @staticmethod
    @beam.ptransform_fn
    def _EncodeAndWrite(
        pcoll: beam.PCollection, schema: schema_pb2.Schema, file_format: str, output_path: str
    ) -> beam.PCollection:
        return (
            pcoll
            | "Encode" >> beam.ParDo(executor.TransformProcessor._RecordBatchToExamplesFn(schema))
            | "ExtractExamples" >> beam.Values()
            | "Count" >> beam.ParDo(Count())
            | "Write" >> beam.io.Write(RecordSink(output_path))
        )


class Count(beam.DoFn):
    """Passes examples on and says how many there were."""

    def __init__(self) -> None:
        self._done = 0

    def process(self, example: bytes) -> Iterator[bytes]:
        self._done += 1
        if self._done % LOGGED == 0:
            log.info("%s images", f"{self._done:,}")
        yield example


class RecordSink(filebasedsink.FileBasedSink):
    """Gzipped TFRecords, lightly compressed."""

    def __init__(self, prefix: str):
        super().__init__(prefix, coder=beam.coders.BytesCoder(), file_name_suffix=".gz", mime_type="application/gzip")

    def open(self, temp_path: str) -> tf.io.TFRecordWriter:
        return tf.io.TFRecordWriter(
            temp_path, tf.io.TFRecordOptions(compression_type="GZIP", compression_level=COMPRESSION)
        )

    def write_record(self, file_handle: tf.io.TFRecordWriter, value: bytes) -> None:
        file_handle.write(value)

    def close(self, file_handle: tf.io.TFRecordWriter | None) -> None:
        if file_handle is not None:
            file_handle.close()
