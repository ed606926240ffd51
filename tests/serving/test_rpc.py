"""The development server's gRPC API, asked with the official stubs and nothing of ours.

The stubs import TensorFlow, so they run in one process of their own that prints what it was answered.
"""

import json
from typing import Any

import pytest

from tests.serving.running import Server, run_python

ASK = """
import io, json, sys
import grpc, numpy as np, tensorflow as tf
from PIL import Image
from google.protobuf.json_format import MessageToDict
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, get_model_status_pb2, predict_pb2
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc, regression_pb2

channel = grpc.insecure_channel(sys.argv[1])
prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
models = model_service_pb2_grpc.ModelServiceStub(channel)
buffer = io.BytesIO()
Image.new("RGB", (4, 4), "green").save(buffer, "PNG")
picture = buffer.getvalue()


def spec(request, name="traffic", version=None, signature="", label=None):
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    return request


def predict(images=(picture,), name="image", outputs=(), **model):
    request = spec(predict_pb2.PredictRequest(output_filter=outputs), **model)
    request.inputs[name].CopyFrom(tf.make_tensor_proto(list(images)))
    return prediction.Predict(request, timeout=30)


def refusal(call):
    try:
        return ["OK", str(call())]
    except grpc.RpcError as error:
        return [error.code().name, error.details()]


answer = predict([picture, picture])
example = tf.train.Example(features=tf.train.Features(
    feature={"image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[picture]))}))
by_example = predict([example.SerializeToString()], "examples", signature="examples")
metadata = prediction.GetModelMetadata(
    spec(get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])))
signatures = get_model_metadata_pb2.SignatureDefMap()
assert metadata.metadata["signature_def"].Unpack(signatures)
print(json.dumps({
    "spec": MessageToDict(answer.model_spec),
    "label": [label.decode() for label in answer.outputs["label"].string_val],
    "probabilities": list(answer.outputs["probabilities"].float_val),
    "shapes": {name: list(tf.make_ndarray(proto).shape) for name, proto in answer.outputs.items()},
    "example": by_example.outputs["label"].string_val[0].decode(),
    "labelled": MessageToDict(predict(label="stable").model_spec),
    "status by label": MessageToDict(models.GetModelStatus(
        spec(get_model_status_pb2.GetModelStatusRequest(), label="nope"))),
    "label unknown": refusal(lambda: predict(label="nope")),
    "filtered": list(predict(outputs=["label"]).outputs),
    "metadata": [metadata.model_spec.version.value, sorted(signatures.signature_def)],
    "status": MessageToDict(models.GetModelStatus(spec(get_model_status_pb2.GetModelStatusRequest()))),
    "model": refusal(lambda: prediction.Predict(spec(predict_pb2.PredictRequest(), "other"))),
    "version": refusal(lambda: predict(version=9)),
    "no model": refusal(lambda: prediction.Predict(predict_pb2.PredictRequest())),
    "signature": refusal(lambda: predict(signature="nope")),
    "input": refusal(lambda: predict(name="picture")),
    "dtype": refusal(lambda: predict(images=[1.0])),
    "shape": refusal(lambda: predict(images=[[picture]])),
    "picture": refusal(lambda: predict(images=[b"text"])),
    "output": refusal(lambda: predict(outputs=["nope"])),
    "status of another": refusal(lambda: models.GetModelStatus(
        spec(get_model_status_pb2.GetModelStatusRequest(), "other"))),
    "field": refusal(lambda: prediction.GetModelMetadata(
        spec(get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["other"])))),
    "classify": refusal(lambda: prediction.Classify(spec(classification_pb2.ClassificationRequest()))),
    "regress": refusal(lambda: prediction.Regress(spec(regression_pb2.RegressionRequest()))),
    "too much": refusal(lambda: predict(images=[b"a" * 300_000])),
}))
"""


@pytest.fixture(scope="module")
def answers(server: Server) -> dict[str, Any]:
    """What the official client was answered."""
    process = run_python("-c", ASK, server.grpc)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output)


def test_a_picture_is_classified(answers: dict[str, Any]) -> None:
    assert answers["label"] == ["green", "green"]
    assert answers["example"] == "green"
    assert answers["shapes"] == {
        "label": [2],
        "probability": [2],
        "classes": [2, 3],
        "probabilities": [2, 3],
        "status": [2],
    }
    assert sum(answers["probabilities"]) == pytest.approx(2)
    assert answers["filtered"] == ["label"]
    assert answers["spec"] == {"name": "traffic", "version": "1", "signatureName": "serving_default"}
    assert answers["labelled"] == answers["spec"], "the version that answered is named, not the label"
    assert answers["status by label"] == answers["status"], "TensorFlow Serving takes no notice of it"


def test_the_model_describes_itself(answers: dict[str, Any]) -> None:
    version, signatures = answers["metadata"]
    assert version == 1
    assert {"serving_default", "examples"} <= set(signatures)
    served = {"version": "1", "state": "AVAILABLE", "status": {}}
    assert served in answers["status"]["model_version_status"]


@pytest.mark.parametrize(
    ("request_with", "code", "message"),
    [
        ("model", "NOT_FOUND", "Servable not found for request: Latest(other)"),
        ("version", "NOT_FOUND", "Servable not found for request: Specific(traffic, 9)"),
        ("label unknown", "INVALID_ARGUMENT", "Unrecognized servable version label: nope"),
        ("no model", "INVALID_ARGUMENT", "Missing ModelSpec"),
        ("signature", "FAILED_PRECONDITION", 'Serving signature key "nope" not found.'),
        ("input", "INVALID_ARGUMENT", "Sent extra: {picture}. Missing but required: {image}."),
        ("dtype", "INVALID_ARGUMENT", 'input "image" should be string but is float32'),
        ("shape", "INVALID_ARGUMENT", 'input "image" should have the shape (None,) but has (1, 1)'),
        ("picture", "INVALID_ARGUMENT", "Unknown image file format."),
        ("output", "INVALID_ARGUMENT", "output tensor alias not found in signature: nope"),
        ("status of another", "NOT_FOUND", "Could not find any versions of model other"),
        ("field", "INVALID_ARGUMENT", "Metadata field other is not supported"),
        ("classify", "INVALID_ARGUMENT", "Expected classification signature method_name"),
        ("regress", "INVALID_ARGUMENT", "Expected regression signature method_name"),
        ("too much", "RESOURCE_EXHAUSTED", "larger than max"),
    ],
)
def test_refused_requests(answers: dict[str, Any], request_with: str, code: str, message: str) -> None:
    got_code, got_message = answers[request_with]
    assert got_code == code
    assert message in got_message
