"""The client against the development server, over both APIs, and what it says when something is wrong."""

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving import Client, PredictionError, predict
from tests.serving.running import Server, run_python

OVER_GRPC = """
import json, sys
import numpy as np
from serving import Client, PredictionError
with Client(f"grpc://{sys.argv[1]}", model_name="traffic", label="stable") as client:
    answers = client.predict([sys.argv[2], np.full((4, 5, 3), [255, 0, 0], np.uint8)] * 20)
def refusal(url, image=sys.argv[2], **changes):
    try:
        with Client(url, **{"model_name": "traffic", "retries": 1} | changes) as client:
            return client.predict([image])[0].label
    except PredictionError as error:
        return [str(error), error.status]
url = f"grpc://{sys.argv[1]}"
print(json.dumps({
    "labels": [answer.label for answer in answers],
    "versions": sorted({answer.version for answer in answers}),
    "probabilities": answers[0].probabilities,
    "text": refusal(url, b"not a picture"),
    "model": refusal(url, model_name="other"),
    "label": refusal(url, label="nope"),
    "nobody": refusal("grpc://127.0.0.1:9", timeout=2),
}))
"""


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
    assert answers[0].version == 1
    assert predict([picture], server.rest + "/", model_name="traffic", version=1)[0] == answers[0]
    assert predict([picture], server.rest, model_name="traffic", label="stable")[0] == answers[0]
    assert predict([], server.rest, model_name="traffic") == []


def test_pixels(server: Server) -> None:
    green = np.zeros((5, 7, 4), np.uint8)
    green[..., 1] = green[..., 3] = 255
    grey = np.full((3, 4, 1), 200, np.uint8)
    with Client(server.rest, model_name="traffic") as client:
        first, *others = client.predict([green, green[..., :3], grey, grey[..., 0]])
    assert [first.label, others[0].label] == ["green", "green"]
    assert others[1] == others[2]
    with pytest.raises(ValueError, match=r"image 0 is float64 \[2, 2\]; pixels are uint8, \[height, width\] or"):
        predict([np.zeros((2, 2))], server.rest, model_name="traffic")


def test_a_picture_the_model_cannot_use_is_told(server: Server, picture: Path) -> None:
    black = np.zeros((4, 4), np.uint8)
    answers = predict([black, picture], server.rest, model_name="traffic")
    assert [(answer.label, answer.status) for answer in answers] == [("", "is black all over"), ("blue", "")]


def test_over_grpc(server: Server, picture: Path) -> None:
    process = run_python("-c", OVER_GRPC, server.grpc, str(picture))
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    told = json.loads(output)
    assert (told["labels"], told["versions"]) == (["blue", "red"] * 20, [1])
    assert list(told["probabilities"]) == ["red", "green", "blue"]
    assert told["text"][0].startswith("image 0: Unknown image file format.") and told["text"][1] == 400
    assert told["model"] == ["Servable not found for request: Latest(other)", 404]
    assert told["label"] == [f"{picture}: Unrecognized servable version label: nope", 400]
    assert told["nobody"][0].startswith("No server answers at 127.0.0.1:9") and told["nobody"][1] is None


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


@pytest.fixture
def moody() -> Iterator[tuple[str, list[int]]]:
    """A server that gives the statuses of a list in turn, then an answer of a model that is not ours."""
    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status = statuses.pop(0) if statuses else 200
            if status == 0:  # it dies
                self.close_connection = True
                return
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"error": "busy"}' if status != 200 else b'{"predictions": [[0.5]]}')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", statuses
        http.shutdown()
        thread.join()


def test_a_busy_server_is_asked_again_and_an_answer_that_is_not_ours_is_told(moody: tuple[str, list[int]]) -> None:
    url, statuses = moody
    statuses += [503, 0, 429]
    with pytest.raises(PredictionError, match=f"{url} answers without label, .* exported by tfx-vision"):
        Client(url, model_name="m").predict([b"a"])
    assert statuses == []


def test_retries_end(moody: tuple[str, list[int]]) -> None:
    url, statuses = moody
    statuses += [503] * 9
    with pytest.raises(PredictionError, match="busy"):
        Client(url, model_name="m", retries=1).predict([b"a"])
    assert len(statuses) == 7
    with pytest.raises(PredictionError, match="busy"):
        Client(url, model_name="m", deadline=0.04).predict([b"a"])
    assert len(statuses) == 6, "no pause is begun that would end after the deadline"
    statuses[:] = [404]
    with pytest.raises(PredictionError, match="busy"):
        Client(url, model_name="m").predict([b"a"])
    assert statuses == [], "what will not pass is not tried again"


def test_no_server(picture: Path) -> None:
    with pytest.raises(PredictionError, match=r"No server answers at .* start one with `tfx-vision serve`"):
        predict([picture], "http://127.0.0.1:9", model_name="traffic")
    with pytest.raises(PredictionError, match="is not the URL of a TensorFlow Serving REST API"):
        predict([picture], "127.0.0.1", model_name="traffic")
    with pytest.raises(ValueError, match="Ask for version 1 or for label stable, not for both"):
        Client(model_name="m", version=1, label="stable")


def test_importing_serving_is_cheap() -> None:
    program = "import sys, serving; print({'tensorflow', 'grpc', 'starlette', 'uvicorn', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "set()\n"


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "beside another thread"])
def test_asking_over_grpc_leaves_a_process_with_the_real_tensorflow(others: int) -> None:
    """Alone it is not loaded at all; with other threads, which may load it, there is none but the real one."""
    program = f"""
import sys, threading
from serving.transport import Grpc
[threading.Thread(target=threading.Event().wait, daemon=True).start() for _ in range({others})]
Grpc("127.0.0.1:9", "m", None, None)
print("tensorflow" in sys.modules)
import tensorflow
print(hasattr(tensorflow, "constant"))
"""
    said = subprocess.check_output([sys.executable, "-c", program], text=True, stderr=subprocess.DEVNULL)
    assert said.split() == [str(bool(others)), "True"]
