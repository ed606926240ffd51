"""The requests that a server runs before it says that it is ready: `assets.extra/tf_serving_warmup_requests`.

The pictures are made up: nobody's data ends up in the folder that is served.
"""

import io
import random
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from transform import features

FILE = "tf_serving_warmup_requests"
"""In `assets.extra`; the name is TensorFlow Serving's."""


def made_up_image(kind: str) -> bytes:
    """An encoded image of noise, 64 by 64 pixels; PNG or JPEG."""
    noise = random.Random(1).randbytes(64 * 64 * 3)
    buffer = io.BytesIO()
    Image.frombytes("RGB", (64, 64), noise).save(buffer, kind)
    return buffer.getvalue()


def write_warm_up(folder: str | Path, model_name: str, inputs: Mapping[str, str]) -> None:
    """Writes a request with a PNG and a JPEG for each signature.

    Args:
      folder: becomes `assets.extra`; it is made.
      model_name: the name the model is served under.
      inputs: name of the input by signature; one called `examples` takes serialized tf.Examples, others images.
    """
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    Path(folder).mkdir(parents=True, exist_ok=True)
    images = [made_up_image("PNG"), made_up_image("JPEG")]
    with tf.io.TFRecordWriter(str(Path(folder, FILE))) as writer:
        for signature, name in inputs.items():
            values = [as_example(image) for image in images] if name == "examples" else images
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name, request.model_spec.signature_name = model_name, signature
            request.inputs[name].CopyFrom(tf.make_tensor_proto(values, tf.string))
            writer.write(log.SerializeToString())


def as_example(image: bytes) -> bytes:
    """A serialized tf.Example with this image."""
    import tensorflow as tf

    value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
    return tf.train.Example(features=tf.train.Features(feature={features.IMAGE: value})).SerializeToString()


def string_inputs(model_folder: str) -> dict[str, str]:
    """The input of each signature that takes one vector of strings, which is all signatures of our models."""
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString(Path(model_folder, "saved_model.pb").read_bytes())
    graph = next(graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags)
    return {
        signature: name
        for signature, definition in sorted(graph.signature_def.items())
        for name, info in definition.inputs.items()
        if len(definition.inputs) == 1 and info.dtype == types_pb2.DT_STRING
    }
