"""TensorFlow Serving's gRPC API over a model in memory, from the official protos."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving import messages
from serving.backend import Backend
from serving.errors import RequestError, invalid
from serving.models import DEFAULT_SIGNATURE, LoadedVersion


def register(server: grpc.Server, backend: Backend) -> None:
    """Adds PredictionService and ModelService to a server that has not been started."""
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Prediction(backend), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Model(backend), server)


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, backend: Backend):
        self._backend = backend

    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _answering(self._backend, "Predict", request, context):
            loaded = _find(self._backend, request)
            signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
            if signature not in loaded.signatures:
                raise RequestError("FAILED_PRECONDITION", f'Serving signature key "{signature}" not found.')
            inputs = {name: _array(name, proto) for name, proto in request.inputs.items()}
            outputs = self._backend.run(loaded, signature, inputs, list(request.output_filter))
            response = predict_pb2.PredictResponse(
                model_spec=messages.spec(request.model_spec.name, loaded.number, signature)
            )
            for name, array in outputs.items():
                response.outputs[name].CopyFrom(messages.tensor(array))
            return response

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _answering(self._backend, "GetModelMetadata", request, context):
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            if not request.metadata_field:
                raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
            for field in request.metadata_field:
                if field != "signature_def":
                    raise invalid(f"Metadata field {field} is not supported")
            loaded = _find(self._backend, request)
            response = get_model_metadata_pb2.GetModelMetadataResponse(
                model_spec=messages.spec(request.model_spec.name, loaded.number)
            )
            response.metadata["signature_def"].Pack(messages.signatures(loaded.signatures))
            return response

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _answering(self._backend, "Classify", request, context):
            raise _find(self._backend, request).unsupported("classify", request.model_spec.signature_name)

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _answering(self._backend, "Regress", request, context):
            raise _find(self._backend, request).unsupported("regress", request.model_spec.signature_name)


class _Model(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, backend: Backend):
        self._backend = backend

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        with _answering(self._backend, "GetModelStatus", request, context):
            if not request.HasField("model_spec"):
                raise invalid("Missing ModelSpec")
            name, version, _ = _target(request.model_spec)  # TensorFlow Serving takes no notice of a label here
            return messages.status(self._backend.model.statuses(name, version))


@contextmanager
def _answering(backend: Backend, method: str, request: Any, context: grpc.ServicerContext) -> Iterator[None]:
    """Counts a request; one that cannot be answered ends with its status code and message."""
    known = backend.model.name if request.model_spec.name == backend.model.name else ""
    with backend.metrics.request(known, method, "GRPC") as outcome:
        try:
            yield
        except RequestError as error:
            outcome.status = error.code
            context.abort(grpc.StatusCode[error.code], error.message)


def _find(backend: Backend, request: Any) -> LoadedVersion:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return backend.model.find(*_target(request.model_spec))


def _target(spec: Any) -> tuple[str, int | None, str]:
    """The model's name, the version and the label a ModelSpec asks for."""
    return spec.name, spec.version.value if spec.HasField("version") else None, spec.version_label


def _array(name: str, proto: Any) -> np.ndarray:
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError) as error:
        raise invalid(f"tensor parsing error: {name}: {error}") from error
