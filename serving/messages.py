"""TensorFlow Serving's own messages, filled: what REST and gRPC answer alike."""

from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf
from google.rpc import code_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from serving.served import VersionStatus

_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int8": "int_val",
    "uint8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "object": "string_val",
}


def spec(name: str, version: int, signature: str = "") -> model_pb2.ModelSpec:
    """Which model, version and signature answered."""
    message = model_pb2.ModelSpec(name=name, signature_name=signature)
    message.version.value = version
    return message


def status(statuses: Iterable[VersionStatus]) -> get_model_status_pb2.GetModelStatusResponse:
    """The state of each version; END comes with what went wrong if anything did."""
    message = get_model_status_pb2.GetModelStatusResponse()
    for version in statuses:
        entry = message.model_version_status.add(version=version.version)
        entry.state = entry.State.Value(version.state)
        entry.status.error_code = code_pb2.UNKNOWN if version.error else code_pb2.OK
        entry.status.error_message = version.error
    return message


def signatures(definitions: Mapping[str, SignatureDef]) -> get_model_metadata_pb2.SignatureDefMap:
    """The signatures of a model by name."""
    message = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in definitions.items():
        message.signature_def[name].CopyFrom(definition)
    return message


def tensor(array: np.ndarray) -> TensorProto:
    """An array in its dtype's own field, such as `float_val`, where TensorFlow Serving puts it and clients read it.

    Args:
      array: any shape; strings as objects of `bytes`. A dtype without a plain field goes as `tensor_content`.
    """
    field = _FIELDS.get(array.dtype.name)
    if field is None:
        return tf.make_tensor_proto(array)
    message = TensorProto(dtype=tf.as_dtype(array.dtype).as_datatype_enum)
    message.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    getattr(message, field).extend(array.ravel().tolist())
    return message
