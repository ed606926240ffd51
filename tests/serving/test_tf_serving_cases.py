"""What TensorFlow Serving answers, as a table: request, status, and the bytes of the body.

The bytes follow from TensorFlow Serving 2.19's documentation (api_rest.md) and source (json_tensor.cc and its test,
http_rest_api_handler.cc, http_rest_api_util.cc, server_core.cc, get_model_status_impl.cc) and RapidJSON's PrettyWriter,
with which it prints: a list whose elements are on one line closes on the next. The order of several outputs, which
there is that of a hash table, is alphabetical here. Where a `tensorflow_model_server` is installed, the same table is
run against it.
"""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.serving.running import Server


class Case(NamedTuple):
    """One request and its answer."""

    source: str
    """Where TensorFlow Serving says so."""
    request: str
    """Method and path, below /v1/models."""
    body: str | dict[str, Any] | None
    status: int
    answer: str


def error(message: str) -> str:
    """The body of an error (MakeJsonFromStatus)."""
    return '{\n    "error": ' + json.dumps(message, ensure_ascii=False) + "\n}"


def double(**document: Any) -> dict[str, Any]:
    return {"signature_name": "double", **document}


def element(index: int, value: str, kind: str, wanted: str) -> str:
    return (
        f"Failed to process element: {index} of 'instances' list. Error: INVALID_ARGUMENT: "
        f"JSON Value: {value} Type: {kind} is not of expected type: {wanted}"
    )


PREDICT = "POST /traffic:predict"
STATUS = """{
 "model_version_status": [
  {
   "version": "1",
   "state": "AVAILABLE",
   "status": {
    "error_code": "OK",
    "error_message": ""
   }
  }
 ]
}
"""

CASES = [
    # api_rest.md, "Predict API" and "Example"
    Case("api_rest.md", PREDICT, double(instances=[1.0, 2.0, 5.0]), 200,
         '{\n    "predictions": [2.0, 4.0, 10.0\n    ]\n}'),
    Case("api_rest.md", PREDICT, double(inputs=[1.5, 2]), 200,
         '{\n    "outputs": [\n        3.0,\n        4.0\n    ]\n}'),
    Case("api_rest.md", PREDICT, double(instances=[{"x": 1.5}, {"x": -1}]), 200,
         '{\n    "predictions": [3.0, -2.0\n    ]\n}'),
    Case("api_rest.md", PREDICT, double(inputs={"x": [1.5]}), 200,
         '{\n    "outputs": [\n        3.0\n    ]\n}'),
    Case("api_rest.md", "POST /traffic/versions/1:predict", double(instances=[1]), 200,
         '{\n    "predictions": [2.0\n    ]\n}'),
    Case("api_rest.md", "POST /traffic/labels/stable:predict", double(instances=[1]), 200,
         '{\n    "predictions": [2.0\n    ]\n}'),
    Case("http_rest_api_util.cc: (?i)", "POST /traffic/VERSIONS/1:PREDICT", double(instances=[1]), 200,
         '{\n    "predictions": [2.0\n    ]\n}'),
    Case("json_tensor_test.cc: FromJsonSingleFloatTensor", PREDICT,
         double(instances=[4500000, 499999.5, 0.25, 0.00015, 0.000015, 277778.75]), 200,
         '{\n    "predictions": [9e+06, 999999.0, 0.5, 0.0003, 3e-05, 555557.5\n    ]\n}'),
    Case("json_tensor.cc: WriteDecimal", PREDICT, double(instances=[0.1, 0.33333334, 16777217]), 200,
         '{\n    "predictions": [0.2, 0.666666687, 33554432.0\n    ]\n}'),
    Case("json_tensor_test.cc: FromJsonSingleFloatTensorNonFinite", PREDICT,
         '{"signature_name": "double", "instances": [NaN, Infinity, -Infinity]}', 200,
         '{\n    "predictions": [NaN, Infinity, -Infinity\n    ]\n}'),
    Case("api_rest.md: Output of binary values", PREDICT,
         {"signature_name": "echo", "instances": ["é\"\u001f", {"b64": "AP8"}]}, 200,
         '{\n    "predictions": [\n        {\n            "text": "é\\"\\u001F",\n            "text_bytes": {\n'
         '                "b64": "w6kiHw=="\n            }\n        },\n        {\n'
         '            "text": "\\u0000\udcff",\n            "text_bytes": {\n'
         '                "b64": "AP8="\n            }\n        }\n    ]\n}'),
    Case("json_tensor.cc: MakeColumnarFormatJsonFromTensors", PREDICT,
         {"signature_name": "add", "inputs": {"pair": [[1, 2], [3, 4]], "negate": [True, False], "else": 1}}, 200,
         '{\n    "outputs": {\n        "count": 4,\n        "sum": [\n            -3,\n            7\n'
         "        ]\n    }\n}"),
    Case("kParseStopWhenDoneFlag", PREDICT, '{"signature_name": "double", "inputs": [1]} and more', 200,
         '{\n    "outputs": [\n        2.0\n    ]\n}'),
    # json_tensor.cc, ParseJson
    Case("json_tensor.cc", PREDICT, "", 400, error("JSON Parse error: The document is empty")),
    Case("rapidjson/error/en.h", PREDICT, "  ", 400, error("JSON Parse error: The document is empty. at offset: 2")),
    Case("rapidjson/error/en.h", PREDICT, "?", 400, error("JSON Parse error: Invalid value. at offset: 0")),
    Case("rapidjson/error/en.h", PREDICT, '{"a" 1}', 400,
         error("JSON Parse error: Missing a colon after a name of object member. at offset: 5")),
    Case("rapidjson/error/en.h", PREDICT, "{'a': 1}", 400,
         error("JSON Parse error: Missing a name for object member. at offset: 1")),
    Case("rapidjson/error/en.h", PREDICT, '{"a": [1 2]}', 400,
         error("JSON Parse error: Missing a comma or ] after an array element. at offset: 9")),
    Case("json_tensor.cc", PREDICT, "[1, 2]", 400, error("JSON Value: [1, 2] Is not object")),
    Case("json_tensor.cc", PREDICT, "1.5", 400, error("JSON Value: 1.5 Is not object")),
    # FillSignature, FillPredictRequestFromJson
    Case("json_tensor.cc", PREDICT, {"signature_name": 100}, 400,
         error('JSON Value: {\n    "signature_name": 100\n} not formatted correctly. '
               "'signature_name' key must be a string value.")),
    Case("http_rest_api_handler.cc", PREDICT, {"signature_name": "nope", "instances": [1]}, 400,
         error('Serving signature name: "nope" not found in signature def')),
    Case("json_tensor.cc", PREDICT, double(), 400, error("Missing 'inputs' or 'instances' key")),
    Case("json_tensor.cc", PREDICT, {"inputs": [1], "instances": [1]}, 400,
         error('JSON Value: {\n    "inputs": [1],\n    "instances": [1]\n} Not formatted correctly expecting '
               "only one of 'inputs' or 'instances' keys to exist ")),
    Case("json_tensor.cc", PREDICT, {"instances": {"a": []}}, 400,
         error('JSON Value: {\n    "instances": {\n        "a": []\n    }\n} '
               "Expecting 'instances' to be an list/array")),
    Case("json_tensor.cc", PREDICT, {"instances": []}, 400,
         error('JSON Value: {\n    "instances": []\n} No values in \'instances\' array')),
    # AddValueToTensor
    Case("http_rest_api_handler_test.cc", PREDICT, double(instances=["x", "y"]), 400,
         error(element(0, '"x"', "String", "float"))),
    Case("json_tensor.cc", PREDICT, double(instances=[1, None]), 400, error(element(1, "null", "Null", "float"))),
    Case("json_tensor.cc", PREDICT, double(instances=[True]), 400, error(element(0, "true", "True", "float"))),
    Case("json_tensor.cc", PREDICT, {"instances": [1]}, 400, error(element(0, "1", "Number", "string"))),
    Case("json_tensor.cc", PREDICT, {"signature_name": "add", "inputs": {"pair": [[2**31, 0]], "negate": [True]}}, 400,
         error("JSON Value: 2147483648 Type: Number is not of expected type: int32")),
    Case("json_tensor.cc", PREDICT, {"signature_name": "add", "inputs": {"pair": [[1.5, 0]], "negate": [True]}}, 400,
         error("JSON Value: 1.5 Type: Number is not of expected type: int32")),
    Case("json_tensor.cc", PREDICT, {"signature_name": "add", "inputs": {"pair": [[1, 0]], "negate": [1]}}, 400,
         error("JSON Value: 1 Type: Number is not of expected type: bool")),
    # base64
    Case("json_tensor.cc", PREDICT, {"instances": [{"b64": "?"}]}, 400,
         error("Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: Unable to base64 decode")),
    Case("json_tensor.cc", PREDICT, {"inputs": {"image": [{"b64": 1}]}}, 400,
         error('JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data')),
    # shapes
    Case("json_tensor.cc", PREDICT, {"signature_name": "add", "inputs": {"pair": [[1, 2], [3]], "negate": [True]}}, 400,
         error("Encountered list at unexpected size: 1 at level: 1 expected size: 2")),
    Case("json_tensor.cc", PREDICT, {"signature_name": "add", "inputs": {"pair": [1, [3]], "negate": [True]}}, 400,
         error("Encountered list at unexpected level: 1 expected < 1")),
    Case("json_tensor.cc", PREDICT, {"signature_name": "add", "inputs": {"pair": [[1, 2], 3], "negate": [True]}}, 400,
         error("JSON Value: 3 found at incorrect level: 2 in the JSON DOM. Expected at level: 2")),
    Case("json_tensor.cc", PREDICT,
         {"signature_name": "add", "instances": [{"pair": [1, 2], "negate": True}, {"pair": [1], "negate": True}]}, 400,
         error("Failed to process element: 1 key: pair of 'instances' list. Error: INVALID_ARGUMENT: "
               "Expecting tensor size: 2 but got: 1")),
    Case("json_tensor.cc", PREDICT,
         {"signature_name": "add", "instances": [{"pair": [1, 2], "negate": True}, {"pair": [[1, 2]], "negate": True}]},
         400, error("Failed to process element: 1 key: pair of 'instances' list. Error: INVALID_ARGUMENT: "
                    "Expecting shape [2] but got: [1,2]")),
    # names
    Case("json_tensor.cc", PREDICT, double(instances=[{"z": 1}]), 400,
         error("Failed to process element: 0 key: z of 'instances' list. Error: INVALID_ARGUMENT: "
               "JSON object: does not have named input: z")),
    Case("json_tensor.cc", PREDICT, double(instances=[{}]), 400,
         error("Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal to: x")),
    Case("json_tensor.cc", PREDICT, double(instances=[{"x": 1}, 2]), 400,
         error("Expecting object but got list at item 1 of input list")),
    Case("json_tensor.cc", PREDICT, double(instances=[1, {"x": 2}]), 400,
         error("Expecting value/list but got object at item 1 of input list")),
    Case("json_tensor.cc", PREDICT, {"signature_name": "add", "instances": [[1, 2]]}, 400,
         error("instances is a plain list, but expecting list of objects as multiple input tensors required as per "
               "tensorinfo_map")),
    Case("json_tensor.cc", PREDICT, {"signature_name": "add", "inputs": [[1, 2]]}, 400,
         error("inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
               "tensorinfo_map")),
    Case("json_tensor.cc", PREDICT, double(inputs={"z": [1]}), 400,
         error("Missing named input: x in 'inputs' object.")),
    Case("json_tensor.cc: MakeRowFormatJsonFromTensors", PREDICT,
         {"signature_name": "add", "instances": [{"pair": [1, 2], "negate": True}]}, 400,
         error("Tensor name: count has no shape information ")),
    # server_core.cc, api_rest.md: models, versions, labels
    Case("api_rest.md", "POST /half:predict", {"instances": [1.0, 5.0]}, 404,
         error("Servable not found for request: Latest(half)")),
    Case("server_core.cc", "POST /traffic/versions/9:predict", {"instances": [1]}, 404,
         error("Servable not found for request: Specific(traffic, 9)")),
    Case("server_core.cc", "POST /traffic/labels/nope:predict", {"instances": [1]}, 400,
         error("Unrecognized servable version label: nope")),
    Case("http_rest_api_util.cc", f"POST /traffic/versions/{2**63}:predict", {"instances": [1]}, 400,
         error(f"Failed to convert version: {2**63} to numeric.")),
    Case("http_rest_api_handler.cc", "POST /traffic", {}, 400, error("Malformed request: POST /v1/models/traffic")),
    Case("http_rest_api_handler.cc", "POST /traffic:explain", {}, 400,
         error("Malformed request: POST /v1/models/traffic:explain")),
    Case("http_rest_api_handler.cc", "GET /traffic:predict", None, 400,
         error("Malformed request: GET /v1/models/traffic:predict")),
    Case("http_rest_api_handler.cc", "DELETE /traffic", None, 400,
         error("Malformed request: DELETE /v1/models/traffic")),
    # status
    Case("api_rest.md", "GET /traffic", None, 200, STATUS),
    Case("api_rest.md", "GET /traffic/versions/1", None, 200, STATUS),
    Case("get_model_status_impl.cc: no notice of labels", "GET /traffic/labels/nope", None, 200, STATUS),
    Case("http_rest_api_handler.cc", "GET ", None, 400, error("Missing model name in request.")),
    Case("get_model_status_impl.cc", "GET /half", None, 404, error("Could not find any versions of model half")),
    Case("get_model_status_impl.cc", "GET /traffic/versions/9", None, 404,
         error("Could not find version 9 of model traffic")),
    Case("http_rest_api_handler.cc", "GET /half/metadata", None, 404,
         error("Servable not found for request: Latest(half)")),
    # classify and regress
    Case("classifier.cc", "POST /traffic:classify", {"examples": [{"x": 1}]}, 400,
         error("Expected classification signature method_name to be tensorflow/serving/classify. "
               "Was: tensorflow/serving/predict")),
    Case("regressor.cc", "POST /traffic:regress", {"examples": [{"x": 1}]}, 400,
         error("Expected regression signature method_name to be tensorflow/serving/regress. "
               "Was: tensorflow/serving/predict")),
    Case("classifier.cc", "POST /traffic:classify", {"signature_name": "nope", "examples": [{"x": 1}]}, 400,
         error("No signature was found with the name: nope")),
    Case("json_tensor.cc", "POST /traffic:classify", {"signature_name": "double"}, 400,
         error('JSON Value: {\n    "signature_name": "double"\n} When method is classify, key \'examples\' is expected '
               "and was not found")),
    Case("json_tensor.cc", "POST /traffic:regress", {"examples": 1}, 400,
         error('JSON Value: {\n    "examples": 1\n} Expecting \'examples\' value to be an list/array')),
    Case("json_tensor.cc", "POST /traffic:classify", {"examples": []}, 400,
         error('JSON Value: {\n    "examples": []\n} \'examples\' value is an empty array')),
]  # fmt: skip
IDS = [f"{index}-{case.request.split()[0]}-{case.source}" for index, case in enumerate(CASES)]


def ask(url: str, case: Case) -> httpx.Response:
    method, _, path = case.request.partition(" ")
    body = json.dumps(case.body) if isinstance(case.body, dict) else case.body
    return httpx.request(method, f"{url}/v1/models{path}", content=body)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_development_server(server: Server, case: Case) -> None:
    response = ask(server.rest, case)
    assert (response.status_code, response.content.decode("utf-8", "surrogateescape")) == (case.status, case.answer)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["server"] == "tfx-vision development server"
    assert response.headers.get("model-version", "1") == "1"
    assert ("model-version" in response.headers) == (response.status_code == 200 and case.request.startswith("POST"))


def test_metadata(server: Server) -> None:
    text = httpx.get(f"{server.rest}/v1/models/traffic/metadata").text
    assert text.startswith(
        '{\n"model_spec":{\n "name": "traffic",\n "signature_name": "",\n "version": "1"\n}\n,\n'
        '"metadata": {"signature_def": {\n "signature_def": {\n  "'
    )
    assert text.endswith(" }\n}\n}\n}\n")
    signature = json.loads(text)["metadata"]["signature_def"]["signature_def"]["double"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signature["inputs"]["x"]["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}


@pytest.fixture(scope="module")
def tensorflow_serving(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    binary = shutil.which("tensorflow_model_server")
    if not binary:
        pytest.skip("tensorflow_model_server is not installed")
    base = tmp_path_factory.mktemp("tensorflow_serving")
    shutil.copytree(model, base / "1")
    (base / "models.config").write_text(
        f'model_config_list {{ config {{ name: "traffic" base_path: "{base}" model_platform: "tensorflow" '
        'version_labels { key: "stable" value: 1 } } }'
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = [f"--rest_api_port={port}", "--port=0", f"--model_config_file={base / 'models.config'}"]
    process = subprocess.Popen([binary, *options, "--allow_version_labels_for_unavailable_models"])
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{url}/v1/models/traffic").status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.2)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_tensorflow_serving_itself(tensorflow_serving: str, case: Case) -> None:
    response = ask(tensorflow_serving, case)
    assert response.status_code == case.status
    assert re.sub(r"\s", "", response.text) == re.sub(r"\s", "", case.answer)
