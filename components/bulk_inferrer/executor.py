"""Asks a saved model about serialized tf.Examples through TensorFlow itself."""

import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tfx import types
from tfx.components.bulk_inferrer import executor
from tfx.proto import bulk_inferrer_pb2
from tfx.types import artifact_utils

BATCH = 64
"""Examples in memory at a time."""
FILE = "prediction_logs"


class Ask(beam.DoFn):
    """Serialized tf.Examples → PredictionLogs; one that the model cannot take has no response."""

    def __init__(self, model_folder: str, signature: str):
        self._folder, self._signature = model_folder, signature

    def process(self, batch: Sequence[bytes]) -> Iterator[prediction_log_pb2.PredictionLog]:
        yield from self._ask(load_model(self._folder).signatures[self._signature], batch)

    def _ask(self, function: Any, batch: Sequence[bytes]) -> Iterator[prediction_log_pb2.PredictionLog]:
        [name] = function.structured_input_signature[1]
        try:
            outputs = {key: value.numpy() for key, value in function(**{name: tf.constant(batch)}).items()}
        except tf.errors.OpError:
            if len(batch) > 1:  # one of them spoils it for the others
                for one in batch:
                    yield from self._ask(function, [one])
                return
            outputs = {}
        for index, example in enumerate(batch):
            log = prediction_log_pb2.PredictionLog()
            request, response = log.predict_log.request, log.predict_log.response
            request.model_spec.signature_name = response.model_spec.signature_name = self._signature
            request.inputs[name].CopyFrom(tf.make_tensor_proto([example]))
            for key, values in outputs.items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(values[index : index + 1]))
            yield log


@functools.lru_cache(maxsize=1)
def load_model(folder: str) -> Any:
    """A saved model, once per process."""
    return tf.saved_model.load(folder)


class Executor(executor.Executor):
    """Asks the model through TensorFlow itself."""

    def _run_model_inference(
        self,
        data_spec: bulk_inferrer_pb2.DataSpec,
        output_example_spec: bulk_inferrer_pb2.OutputExampleSpec,
        examples: list[types.Artifact],
        output_examples: types.Artifact | None,
        inference_result: types.Artifact,
        inference_endpoint: Any,
    ) -> None:
        model = inference_endpoint.saved_model_spec
        splits = data_spec.example_splits or artifact_utils.decode_split_names(examples[0].split_names)
        with self._make_beam_pipeline() as pipeline:
            records = [
                pipeline | f"Read[{uri}]" >> beam.io.ReadFromTFRecord(os.path.join(uri, "*"))
                for split in splits
                for uri in artifact_utils.get_split_uris(examples, split)
            ]
            _ = (
                records
                | beam.Flatten()
                | beam.BatchElements(min_batch_size=BATCH, max_batch_size=BATCH)
                | "Ask" >> beam.ParDo(Ask(model.model_path, model.signature_name[0]))
                | "Write"
                >> beam.io.WriteToTFRecord(
                    os.path.join(inference_result.uri, FILE),
                    file_name_suffix=".gz",
                    coder=beam.coders.ProtoCoder(prediction_log_pb2.PredictionLog),
                )
            )
