"""The versions of a model in memory: loaded, replaced when a new one is pushed, and run."""

import re
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.rpc import code_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from serving.destination.folder import Folder
from serving.errors import RequestError, ServingError, invalid

DEFAULT_SIGNATURE = "serving_default"

_WHEREABOUTS = re.compile(r'\s*(Graph execution error:|Detected at node |<stack traces |File "|\[\[\{\{)')


class LoadedVersion:
    """One SavedModel in memory. `run` may be called from many threads at once.

    Args:
      number: the version, ≥ 0.
      folder: holds `saved_model.pb`.

    Raises:
      Exception: whatever TensorFlow says of a folder it cannot load.
    """

    def __init__(self, number: int, folder: Path):
        self.number = number
        self._model = tf.saved_model.load(str(folder))
        saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        graph = next(graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags)
        self.signatures: dict[str, SignatureDef] = dict(graph.signature_def)

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
        tensors = {name: tf.constant(inputs[name], definition.inputs[name].dtype) for name in inputs}
        try:
            results = self._model.signatures[signature](**tensors)
        except tf.errors.OpError as error:
            raise RequestError(code_pb2.Code.Name(error.error_code), condense(error.message)) from error
        return {name: results[name].numpy() for name in wanted}


@dataclass(frozen=True, kw_only=True)
class VersionStatus:
    """What became of one version: served, no longer served, or not loadable."""

    version: int
    available: bool
    error: str = ""


class ServedModel:
    """The model behind one name: always the highest version that loads, as TensorFlow Serving does by default.

    Args:
      name: the model's name in requests.
      source: the pushed directory, or a SavedModel itself, which is served as version 1.
    """

    def __init__(self, name: str, source: Path):
        self.name = name
        self._source = source
        self._current: LoadedVersion | None = None
        self._statuses: dict[int, VersionStatus] = {}
        self._loading = threading.Lock()

    def refresh(self) -> None:
        """Loads the highest version unless it is served or has failed already; then lets the one before go.

        Where no version is left, the last one stays.

        Raises:
          ServingError: no version is being served and none could be loaded.
        """
        with self._loading:
            for number, folder in sorted(_folders(self._source).items(), reverse=True):
                if self._current and self._current.number == number:
                    return
                if (status := self._statuses.get(number)) and status.error:
                    continue
                try:
                    loaded = LoadedVersion(number, folder)
                except Exception as error:  # whatever TensorFlow raises: the version before must stay
                    self._statuses[number] = VersionStatus(version=number, available=False, error=condense(str(error)))
                    continue
                self._serve(loaded)
                return
            if self._current is None:
                reasons = "; ".join(f"version {s.version}: {s.error}" for s in self._statuses.values())
                raise ServingError(f"No version of the model in {self._source} could be loaded. {reasons}")

    def watch(self, stop: threading.Event, seconds: float = 1.0) -> None:
        """Refreshes until `stop` is set."""
        while not stop.wait(seconds):
            with suppress(OSError):  # the folder may be away for a moment
                self.refresh()

    def find(self, name: str, version: int | None = None, label: str = "") -> LoadedVersion:
        """The version a request asks for; the served one if it names none.

        Raises:
          RequestError: NOT_FOUND, or INVALID_ARGUMENT for a label, which only a TensorFlow Serving config can give.
        """
        if not name:
            raise invalid("ModelSpec has no name specified.")
        if label:
            raise invalid(f"Unrecognized servable version label: {label}")
        current = self._current
        if name != self.name or current is None or version not in (None, current.number):
            request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise RequestError("NOT_FOUND", f"Servable not found for request: {request}")
        return current

    def statuses(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """What became of one version, or of all, the highest first.

        Raises:
          RequestError: NOT_FOUND.
        """
        known = self._statuses.copy() if name == self.name else {}
        if version is None:
            if not known:
                raise RequestError("NOT_FOUND", f"Could not find any versions of model {name}")
            return [known[number] for number in sorted(known, reverse=True)]
        if version not in known:
            raise RequestError("NOT_FOUND", f"Could not find version {version} of model {name}")
        return [known[version]]

    def _serve(self, loaded: LoadedVersion) -> None:
        before, self._current = self._current, loaded
        self._statuses[loaded.number] = VersionStatus(version=loaded.number, available=True)
        if before:
            self._statuses[before.number] = VersionStatus(version=before.number, available=False)


def condense(message: str) -> str:
    """TensorFlow's error without where in the graph it arose.

    >>> condense("Graph execution error:\\n\\nInput is empty.\\n\\t [[{{node decode/DecodeImage}}]]")
    'Input is empty.'
    """
    if several := re.search(r"\(0\) \w+: (.*?)(?=\n\s*\(1\) |\n\d+ (?:successful|derived)|\Z)", message, re.DOTALL):
        message = several[1]
    lines = [line for line in message.splitlines() if not _WHEREABOUTS.match(line)]
    return " ".join(re.sub(r"\{\{\w+ .*?\}\}|\[Op:\w*\]", "", " ".join(lines)).split())


def _folders(source: Path) -> dict[int, Path]:
    return {1: source} if (source / "saved_model.pb").is_file() else Folder(source).folders()


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
