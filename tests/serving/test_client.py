"""The client against the development server, and what it says when something is wrong."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from serving import PredictionError, predict
from tests.serving.running import Server


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "blue.png"
    Image.new("RGB", (8, 8), "blue").save(path)
    return path


def test_pictures_are_classified_in_order_and_in_several_requests(server: Server, picture: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "JPEG")
    answers = predict([picture, buffer.getvalue()] * 20, server.rest, model_name="traffic")
    assert [answer.label for answer in answers] == ["blue", "red"] * 20
    assert list(answers[0].probabilities) == ["red", "green", "blue"]
    assert answers[0].probabilities["blue"] == answers[0].probability > 0.9
    assert predict([picture], server.rest + "/", model_name="traffic", version=1)[0] == answers[0]
    assert predict([], server.rest, model_name="traffic") == []


def test_the_picture_at_fault_is_named(server: Server, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    with pytest.raises(PredictionError, match=r"notes\.txt: Unknown image file format\."):
        predict([picture, tmp_path / "notes.txt"], server.rest, model_name="traffic")
    with pytest.raises(PredictionError, match=r"gone\.png could not be read: No such file"):
        predict([tmp_path / "gone.png"], server.rest, model_name="traffic")


def test_what_the_server_says_is_passed_on(server: Server, picture: Path) -> None:
    with pytest.raises(PredictionError, match=r"Servable not found for request: Latest\(other\)"):
        predict([picture], server.rest, model_name="other")
    with pytest.raises(PredictionError, match=r"The body has .* bytes and the limit is 200,000"):
        predict([b"a" * 300_000], server.rest, model_name="traffic")


def test_no_server(picture: Path) -> None:
    with pytest.raises(PredictionError, match=r"No server answers at .* start one with `tfx-vision serve`"):
        predict([picture], "http://127.0.0.1:9", model_name="traffic")
    with pytest.raises(PredictionError, match="is not the URL of a TensorFlow Serving REST API"):
        predict([picture], "127.0.0.1", model_name="traffic")


def test_importing_serving_is_cheap() -> None:
    program = "import sys, serving; print({'tensorflow', 'grpc', 'starlette', 'uvicorn', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "set()\n"
