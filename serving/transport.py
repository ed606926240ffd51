"""How a client's request reaches a server: over REST or gRPC, tried again where that may help."""

import base64
import contextlib
import http.client
import importlib.util
import json
import math
import random
import sys
import threading
import time
import types
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_TRY_AGAIN = {429, 502, 503, 504}
_HTTP_OF_GRPC = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
_STRING = 7
_FIELDS = {
    1: ("float_val", "<f4"), 2: ("double_val", "<f8"), 3: ("int_val", "<i4"), 9: ("int64_val", "<i8"),
    10: ("bool_val", "?"), _STRING: ("string_val", ""),
}  # fmt: skip
"""Where a TensorProto has its values and what they are, by DataType, for those that a model of ours answers."""

Result = TypeVar("Result")


class PredictionError(Exception):
    """Pictures that could not be classified. The message says why and what to do.

    Attributes:
      status: the HTTP status of the server's answer, over gRPC its counterpart; None where it did not answer.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server says of some pictures."""

    outputs: dict[str, list[Any]]
    """Every output by name, an element per picture; strings as `str`."""
    version: int | None
    """The version that answered; over REST TensorFlow Serving does not tell."""


class Transport(Protocol):
    """One way to a server."""

    def ask(self, images: list[bytes], timeout: float) -> Answer:
        """Asks once.

        Raises:
          PredictionError: the server refuses or does not answer.
        """

    def close(self) -> None:
        """Lets the connection go."""


def retried(attempt: Callable[[float], Result], *, timeout: float, deadline: float, retries: int) -> Result:
    """Tries until it works, with pauses that double and are partly random, so that clients do not come back as one.

    Only what may pass is tried again: no answer, a server that is busy or starting (429, 502, 503, 504). Asking what
    is in a picture changes nothing at the server, so asking twice is harmless.

    Args:
      attempt: does it, within so many seconds.
      timeout: seconds for one attempt.
      deadline: `time.monotonic()` after which nothing is begun.
      retries: attempts after the first.

    Raises:
      PredictionError: of the last attempt.
    """
    pause = _FIRST_PAUSE
    while True:
        try:
            return attempt(max(min(timeout, deadline - time.monotonic()), 0.001))
        except PredictionError as error:
            wait = random.uniform(pause / 2, pause)
            worth_it = error.status is None or error.status in _TRY_AGAIN
            if not worth_it or not retries or time.monotonic() + wait >= deadline:
                raise
        time.sleep(wait)
        pause, retries = min(2 * pause, _LONGEST_PAUSE), retries - 1


class Rest:
    """The REST API, with the standard library only.

    Args:
      url: of the server, such as http://127.0.0.1:8501.
      model: its name.
      version: or None.
      label: or None.
    """

    def __init__(self, url: str, model: str, version: int | None, label: str | None):
        self._target = f"{url.rstrip('/')}/v1/models/{urllib.parse.quote(model, safe='')}"
        if version is not None:
            self._target += f"/versions/{version}"
        elif label is not None:
            self._target += f"/labels/{urllib.parse.quote(label, safe='')}"

    def ask(self, images: list[bytes], timeout: float) -> Answer:
        instances = [{"b64": base64.b64encode(image).decode()} for image in images]
        document, version = self._post({"instances": instances}, timeout)
        try:
            rows = document["predictions"]
            outputs = {name: [row[name] for row in rows] for name in rows[0]}
        except (KeyError, TypeError, IndexError):
            outputs = {}
        return Answer(outputs=outputs, version=int(version) if version else None)

    def close(self) -> None:
        pass

    def _post(self, document: dict[str, Any], timeout: float) -> tuple[dict[str, Any], str | None]:
        target = self._target
        try:
            request = urllib.request.Request(
                f"{target}:predict", json.dumps(document).encode(), {"Content-Type": "application/json"}, method="POST"
            )
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return json.load(response), response.headers["Model-Version"]
        except urllib.error.HTTPError as error:
            raise PredictionError(_reason(error, target), error.code) from error
        except TimeoutError as error:
            raise PredictionError(f"{target} did not answer within {timeout:g} seconds") from error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise PredictionError(f"{target} did not answer within {timeout:g} seconds") from error
            raise PredictionError(
                f"No server answers at {target} ({reason}); start one with `tfx-vision serve`, or give another URL"
            ) from error
        except ValueError as error:
            raise PredictionError(f"{target} is not the URL of a TensorFlow Serving REST API: {error}", 400) from error


class Grpc:
    """The gRPC API, without TensorFlow.

    Args:
      address: of the server, such as 127.0.0.1:8500.
      model: its name.
      version: or None.
      label: or None.
    """

    def __init__(self, address: str, model: str, version: int | None, label: str | None):
        import grpc

        with _without_tensorflow():
            from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

        self._address = address
        self._channel = grpc.insecure_channel(address, [("grpc.max_receive_message_length", -1)])
        self._predict = prediction_service_pb2_grpc.PredictionServiceStub(self._channel).Predict
        self._request = predict_pb2.PredictRequest()
        self._request.model_spec.name = model
        if version is not None:
            self._request.model_spec.version.value = version
        elif label is not None:
            self._request.model_spec.version_label = label

    def ask(self, images: list[bytes], timeout: float) -> Answer:
        import grpc

        tensor = self._request.inputs["image"]
        tensor.Clear()
        tensor.dtype = _STRING
        tensor.tensor_shape.dim.add(size=len(images))
        tensor.string_val.extend(images)
        try:
            answer = self._predict(self._request, timeout=timeout)
        except grpc.RpcError as error:
            raise self._explain(error, timeout) from error
        outputs = {name: _values(proto) for name, proto in answer.outputs.items() if proto.tensor_shape.dim}
        return Answer(outputs=outputs, version=answer.model_spec.version.value)

    def close(self) -> None:
        self._channel.close()

    def _explain(self, error: Any, timeout: float) -> PredictionError:
        code = error.code().name
        if code == "DEADLINE_EXCEEDED":
            return PredictionError(f"{self._address} did not answer within {timeout:g} seconds")
        if code == "UNAVAILABLE":
            reason = f"No server answers at {self._address} ({error.details()})"
            return PredictionError(f"{reason}; start one with `tfx-vision serve`, or give another URL")
        return PredictionError(error.details(), _HTTP_OF_GRPC.get(code, 500))


@contextlib.contextmanager
def _without_tensorflow() -> Iterator[None]:
    """Lets messages that lie in TensorFlow's package be imported without it; loading it takes seconds and prints.

    Only in a process of one thread: another could import TensorFlow meanwhile and get the empty package.
    """
    alone = threading.active_count() == 1 and "tensorflow" not in sys.modules
    spec = importlib.util.find_spec("tensorflow") if alone else None
    if spec is None:
        yield
        return
    package = types.ModuleType("tensorflow")
    package.__path__ = list(spec.submodule_search_locations or [])
    sys.modules["tensorflow"] = package
    try:
        yield
    finally:
        del sys.modules["tensorflow"]


def _values(proto: Any) -> Any:
    """A TensorProto as nested lists; its values are in one of two places, and equal ones at the end may be left out."""
    import numpy as np

    field, dtype = _FIELDS[proto.dtype]
    values = np.frombuffer(proto.tensor_content, dtype) if proto.tensor_content else list(getattr(proto, field))
    if field == "string_val":
        values = [value.decode(errors="replace") for value in values]
    shape = [dimension.size for dimension in proto.tensor_shape.dim]
    missing = math.prod(shape) - len(values)
    array = np.array(values, object if field == "string_val" else dtype)
    return np.pad(array, (0, missing), "edge" if len(values) else "constant").reshape(shape).tolist()


def _reason(error: urllib.error.HTTPError, target: str) -> str:
    """The server's own words, or the status line of one that is not TensorFlow Serving."""
    body = error.read()
    try:
        return json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return f"{target} answers {error.code} {error.reason}; is it a TensorFlow Serving REST API?"
