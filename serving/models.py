"""One version of a model in memory: loaded, warmed up and run."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.rpc import code_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import prediction_log_pb2

from serving.errors import RequestError, invalid

DEFAULT_SIGNATURE = "serving_default"
WARM_UP = "assets.extra/tf_serving_warmup_requests"
_WARM_UP_REQUESTS = 1000

_WHEREABOUTS = re.compile(r'\s*(Graph execution error:|Detected at node |<stack traces |File "|\[\[\{\{)')


class LoadedVersion:
    """One SavedModel in memory. `run` may be called from many threads at once.

    It is a session as in TensorFlow Serving, which C++ loads and runs: `tf.saved_model.load` builds every function anew
    in Python, for three times as long, in which no request is answered, and calling one costs twice as much.

    Args:
      number: the version, ≥ 0.
      folder: holds `saved_model.pb`.

    Raises:
      Exception: whatever TensorFlow says of a folder it cannot load.
    """

    def __init__(self, number: int, folder: Path):
        self.number = number
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
        self.signatures: dict[str, SignatureDef] = dict(graph.signature_def)

    def warm_up(self, folder: Path) -> None:
        """Answers the requests recorded with the model, if any, so that the first user's is not the slow one.

        Raises:
          RequestError: the model refuses one; TensorFlow Serving would not load it either.
        """
        if not (folder / WARM_UP).is_file():
            return
        for record in tf.data.TFRecordDataset(str(folder / WARM_UP)).take(_WARM_UP_REQUESTS).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            if request.inputs:
                signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
                inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
                self.run(signature, inputs, request.output_filter)

    def input_dtypes(self, signature: str) -> dict[str, str]:
        """TensorFlow's name of each input's dtype, such as `string`, by the input's name."""
        return {name: tf.as_dtype(info.dtype).name for name, info in self.signatures[signature].inputs.items()}

    def unsupported(self, method: str, signature: str) -> RequestError:
        """Why `classify` or `regress` is refused: as a rule the signature is for Predict, as all of Keras' are."""
        signature = signature or DEFAULT_SIGNATURE
        if signature not in self.signatures:
            return invalid(f"No signature was found with the name: {signature}")
        kind = {"classify": "classification", "regress": "regression"}[method]
        wanted, found = f"tensorflow/serving/{method}", self.signatures[signature].method_name
        if found != wanted:
            return invalid(f"Expected {kind} signature method_name to be {wanted}. Was: {found}")
        return RequestError("UNIMPLEMENTED", f"The development server answers predict, not {method}; use TF Serving")

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Iterable[str] = ()
    ) -> dict[str, np.ndarray]:
        """Runs one signature.

        Args:
          signature: its name, one of `signatures`.
          inputs: arrays by input name; strings as objects of `bytes`.
          outputs: the outputs wanted; empty for all.

        Returns:
          Arrays by output name, in alphabetical order unless `outputs` gives one.

        Raises:
          RequestError: the inputs do not fit the signature, or the model refuses them.
        """
        definition = self.signatures[signature]
        wanted = list(outputs) or sorted(definition.outputs)
        _check_outputs(wanted, definition)
        _check_inputs(inputs, definition)
        fetches = {name: definition.outputs[name].name for name in wanted}
        try:
            return self._session.run(fetches, {definition.inputs[name].name: inputs[name] for name in inputs})
        except tf.errors.OpError as error:
            raise RequestError(code_pb2.Code.Name(error.error_code), condense(error.message)) from error


def condense(message: str) -> str:
    """TensorFlow's error without where in the graph it arose.

    >>> condense("Graph execution error:\\n\\nInput is empty.\\n\\t [[{{node decode/DecodeImage}}]]")
    'Input is empty.'
    """
    if several := re.search(r"\(0\) \w+: (.*?)(?=\n\s*\(1\) |\n\d+ (?:successful|derived)|\Z)", message, re.DOTALL):
        message = several[1]
    lines = [line for line in message.splitlines() if not _WHEREABOUTS.match(line)]
    return " ".join(re.sub(r"\{\{\w+ .*?\}\}|\[Op:\w*\]", "", " ".join(lines)).split())


def _check_inputs(inputs: Mapping[str, np.ndarray], definition: SignatureDef) -> None:
    if set(inputs) != set(definition.inputs):
        sent, wanted = set(inputs), set(definition.inputs)
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)}"
            f" len({_set(sent)}) != len({_set(wanted)})."
            f" Sent extra: {_set(sent - wanted)}. Missing but required: {_set(wanted - sent)}."
        )
    for name, array in inputs.items():
        wanted_type = tf.as_dtype(definition.inputs[name].dtype)
        if tf.as_dtype(array.dtype) != wanted_type:
            raise invalid(f'input "{name}" should be {wanted_type.name} but is {tf.as_dtype(array.dtype).name}')
        shape = tf.TensorShape(definition.inputs[name].tensor_shape)
        if not shape.is_compatible_with(array.shape):
            raise invalid(f'input "{name}" should have the shape {shape} but has {tf.TensorShape(array.shape)}')


def _check_outputs(wanted: list[str], definition: SignatureDef) -> None:
    for name in wanted:
        if name not in definition.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name}"
                f" Outputs expected to be in the set {_set(definition.outputs)}."
            )
        if wanted.count(name) > 1:
            raise invalid(f"duplicate output tensor alias: {name}")


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
