"""The development server's REST API against what TensorFlow Serving documents (`api_rest.md`) and its source says."""

import base64
import io
import json
import subprocess
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.serving.running import Server


def picture(colour: str, format: str = "PNG") -> bytes:
    """A square of one colour, encoded."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(buffer, format)
    return buffer.getvalue()


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


RED, BLUE = b64(picture("red")), b64(picture("blue", "JPEG"))
BROKEN = b64(picture("red")[:60])
TEXT = b64(b"not a picture")
PREDICT = "/v1/models/traffic:predict"


def ask(server: Server, document: Any, path: str = PREDICT) -> httpx.Response:
    content = document if isinstance(document, str) else json.dumps(document)
    return httpx.post(server.rest + path, content=content)


def test_a_picture_is_classified_by_row(server: Server) -> None:
    response = ask(server, {"instances": [RED, BLUE]})
    assert response.status_code == 200
    assert response.headers["server"] == "tfx-vision development server"
    assert response.headers["content-type"] == "application/json"
    red, blue = response.json()["predictions"]
    assert (red["label"], blue["label"]) == ("red", "blue")
    assert red["classes"] == ["red", "green", "blue"]
    np.testing.assert_allclose(red["probabilities"], np.exp([4, 0, 0]) / np.exp([4, 0, 0]).sum(), rtol=1e-6)
    assert red["probability"] == red["probabilities"][0]


@pytest.mark.parametrize(
    "document",
    [
        {"instances": [{"image": RED}]},
        {"signature_name": "serving_default", "instances": [RED]},
        {"signature_name": "", "instances": [{"image": RED}]},
    ],
)
def test_ways_to_send_a_row(server: Server, document: Any) -> None:
    assert [row["label"] for row in ask(server, document).json()["predictions"]] == ["red"]


@pytest.mark.parametrize("inputs", [[RED, BLUE], {"image": [RED, BLUE]}])
def test_a_picture_is_classified_by_column(server: Server, inputs: Any) -> None:
    outputs = ask(server, {"inputs": inputs}).json()["outputs"]
    assert outputs["label"] == ["red", "blue"]
    assert np.shape(outputs["probabilities"]) == np.shape(outputs["classes"]) == (2, 3)


SHAPES = [
    ("one output goes without its name", {"instances": [1, 2.5]}, "double", {"predictions": [2.0, 5.0]}),
    ("likewise by column", {"inputs": [1, 2.5]}, "double", {"outputs": [2.0, 5.0]}),
    ("an empty batch by column", {"inputs": []}, "double", {"outputs": []}),
    ("floats are as short as they may be", {"inputs": [0.05]}, "double", {"outputs": [0.1]}),
    (
        "bytes by the name of the output",
        {"instances": ["é", b64(b"b")]},
        "echo",
        {"predictions": [{"text": "é", "text_bytes": b64("é".encode())}, {"text": "b", "text_bytes": b64(b"b")}]},
    ),
    (
        "several inputs by column; keys nobody asked for are ignored",
        {"inputs": {"pair": [[1, 2], [3, 4]], "negate": [True, False], "else": 1}},
        "add",
        {"outputs": {"count": 4, "sum": [-3, 7]}},
    ),
]


@pytest.mark.parametrize(("document", "signature", "answer"), [case[1:] for case in SHAPES], ids=[c[0] for c in SHAPES])
def test_shapes_of_answers(server: Server, document: Any, signature: str, answer: Any) -> None:
    assert ask(server, {"signature_name": signature, **document}).json() == answer


def test_numbers_that_json_does_not_have(server: Server) -> None:
    response = ask(server, '{"signature_name": "double", "instances": [NaN, -Infinity, 1e39]}')
    assert response.text == '{\n    "predictions": [NaN, -Infinity, Infinity\n    ]\n}'


def test_serialized_examples(server: Server) -> None:
    def field(number: int, content: bytes) -> bytes:
        size, head = len(content), bytes([number << 3 | 2])
        while size > 127:
            head, size = head + bytes([size & 127 | 128]), size >> 7
        return head + bytes([size]) + content

    feature = field(1, b"image") + field(2, field(1, field(1, base64.b64decode(RED["b64"]))))
    example = field(1, field(1, feature))
    answer = ask(server, {"signature_name": "examples", "instances": [b64(example)]}).json()
    assert answer["predictions"][0]["label"] == "red"


REFUSALS = [
    ("no body", "", 400, "JSON Parse error: The document is empty"),
    ("no JSON", "{'instances': []}", 400, "JSON Parse error: Missing a name for object member. at offset: 1"),
    ("no object", "[1]", 400, "JSON Value: [1] Is not object"),
    ("nested too deeply", "[" * 100_000, 400, "JSON Parse error: The document is nested too deeply"),
    ("no inputs", {}, 400, "Missing 'inputs' or 'instances' key"),
    (
        "both",
        {"inputs": [RED], "instances": [RED]},
        400,
        "expecting only one of 'inputs' or 'instances' keys to exist",
    ),
    ("instances that are no list", {"instances": RED}, 400, "Expecting 'instances' to be an list/array"),
    ("no instance", {"instances": []}, 400, "No values in 'instances' array"),
    ("a name that is none", {"signature_name": 1, "instances": [RED]}, 400, "'signature_name' key must be a string"),
    (
        "unknown signature",
        {"signature_name": "nope", "instances": [RED]},
        400,
        'Serving signature name: "nope" not found in signature def',
    ),
    (
        "a number for a string",
        {"instances": [1]},
        400,
        "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 1 Type: Number is not"
        " of expected type: string",
    ),
    ("a string for a number", {"signature_name": "double", "inputs": ["1"]}, 400, "is not of expected type: float"),
    ("true for a number", {"signature_name": "double", "inputs": [True]}, 400, "Type: True is not of expected type"),
    (
        "a number out of range",
        {"signature_name": "add", "inputs": {"pair": [[2**31, 0]], "negate": [True]}},
        400,
        "JSON Value: 2147483648 Type: Number is not of expected type: int32",
    ),
    ("no base64", {"instances": [{"b64": "?"}]}, 400, "Unable to base64 decode"),
    ("unknown input", {"instances": [{"picture": RED}]}, 400, "JSON object: does not have named input: picture"),
    ("missing input", {"instances": [{}]}, 400, "keys must be equal to: image"),
    ("missing column", {"inputs": {"picture": [RED]}}, 400, "Missing named input: image in 'inputs' object."),
    (
        "a plain list for several inputs",
        {"signature_name": "add", "instances": [[1, 2]]},
        400,
        "instances is a plain list, but expecting list of objects",
    ),
    (
        "rows of different shapes",
        {"signature_name": "add", "instances": [{"pair": [1, 2], "negate": True}, {"pair": [1], "negate": True}]},
        400,
        "Failed to process element: 1 key: pair of 'instances' list. Error: INVALID_ARGUMENT: Expecting tensor size: 2",
    ),
    (
        "ragged",
        {"signature_name": "add", "inputs": {"pair": [[1, 2], [3]], "negate": [True]}},
        400,
        "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
    ),
    ("a row too deep", {"instances": [[RED]]}, 400, 'input "image" should have the shape (None,) but has (1, 1)'),
    (
        "answers that are not one per row",
        {"signature_name": "add", "instances": [{"pair": [1, 2], "negate": True}]},
        400,
        "Tensor name: count has no shape information",
    ),
    ("text for a picture", {"instances": [RED, TEXT]}, 400, "Unknown image file format. One of JPEG,"),
    ("half a picture", {"instances": [BROKEN]}, 400, "Invalid PNG data, size 60"),
    ("nothing for a picture", {"instances": [b64(b"")]}, 400, "Input is empty."),
    (
        "too much",
        {"instances": ["a" * 300_000]},
        413,
        "The body has 300,019 bytes and the limit is 200,000; send fewer",
    ),
]


@pytest.mark.parametrize(("document", "status", "error"), [case[1:] for case in REFUSALS], ids=[c[0] for c in REFUSALS])
def test_refused_requests(server: Server, document: Any, status: int, error: str) -> None:
    response = ask(server, document)
    assert response.status_code == status, response.text
    assert response.headers["server"] == "tfx-vision development server"
    assert list(response.json()) == ["error"]
    message = response.json()["error"]
    assert error in message
    assert "{{" not in message and "[[" not in message, "TensorFlow's graph locations are not for users"


PATHS = [
    ("POST", "/v1/models/other:predict", 404, "Servable not found for request: Latest(other)"),
    ("POST", "/v1/models/traffic/versions/9:predict", 404, "Servable not found for request: Specific(traffic, 9)"),
    ("POST", "/v1/models/traffic/labels/canary:predict", 400, "Unrecognized servable version label: canary"),
    ("POST", f"/v1/models/traffic/versions/{2**63}:predict", 400, f"Failed to convert version: {2**63} to numeric."),
    ("POST", "/v1/models/traffic", 400, "Malformed request: POST /v1/models/traffic"),
    ("GET", PREDICT, 400, f"Malformed request: GET {PREDICT}"),
    ("PUT", PREDICT, 400, f"Malformed request: PUT {PREDICT}"),
    ("GET", "/v1/models", 400, "Missing model name in request."),
    ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
    ("GET", "/v1/models/traffic/versions/9", 404, "Could not find version 9 of model traffic"),
    ("GET", "/v1/models/other/metadata", 404, "Servable not found for request: Latest(other)"),
    ("GET", "/v2", 404, "Not Found: GET /v2"),
    (
        "POST",
        "/v1/models/traffic:classify",
        400,
        "Expected classification signature method_name to be tensorflow/serving/classify."
        " Was: tensorflow/serving/predict",
    ),
    (
        "POST",
        "/v1/models/traffic:regress",
        400,
        "Expected regression signature method_name to be tensorflow/serving/regress. Was: tensorflow/serving/predict",
    ),
]


@pytest.mark.parametrize(("method", "path", "status", "error"), PATHS)
def test_paths_that_lead_nowhere(server: Server, method: str, path: str, status: int, error: str) -> None:
    body = json.dumps({"instances": [RED], "examples": [{}]}) if method == "POST" else None
    response = httpx.request(method, server.rest + path, content=body)
    assert (response.status_code, response.json()) == (status, {"error": error})


def test_status_and_metadata_as_curl_shows_them(server: Server) -> None:
    def curl(path: str) -> Any:
        return json.loads(subprocess.check_output(["curl", "-sf", "--noproxy", "*", server.rest + path]))

    status = curl("/v1/models/traffic")
    served = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    assert served in status["model_version_status"]
    assert curl("/v1/models/traffic/versions/1") == {"model_version_status": [served]}
    metadata = curl("/v1/models/traffic/metadata")
    assert metadata["model_spec"] == {"name": "traffic", "signature_name": "", "version": "1"}
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"]["image"]["dtype"] == "DT_STRING"
    assert signatures["serving_default"]["method_name"] == "tensorflow/serving/predict"
    body = json.dumps({"instances": [RED]})
    command = ["curl", "-sf", "--noproxy", "*", "-d", body, f"{server.rest}/v1/models/traffic/versions/1:predict"]
    assert json.loads(subprocess.check_output(command))["predictions"][0]["label"] == "red"


def test_the_page_needs_nothing_from_elsewhere(server: Server) -> None:
    page = httpx.get(server.rest + "/")
    assert page.headers["content-type"].startswith("text/html")
    assert "<h1>traffic</h1>" in page.text
    assert "{{" not in page.text and "http" not in page.text.replace(server.rest, "")
