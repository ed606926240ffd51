"""Under load nothing is lost: versions come and go, labels move, batches form, requests are logged and counted."""

import asyncio
import io
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from PIL import Image

from serving import publish, versions
from tests.serving.load import Report, b64, get, post, run
from tests.serving.running import Server, run_python, start

PREDICT = "/v1/models/traffic:predict"
READ_LOG = """
import json, sys
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
for record in tf.data.TFRecordDataset(sys.argv[1:]).as_numpy_iterator():
    log = prediction_log_pb2.PredictionLog.FromString(record)
    request, response = log.predict_log.request, log.predict_log.response
    print(json.dumps([
        request.model_spec.version.value, request.model_spec.signature_name, response.model_spec.name,
        len(request.inputs["image"].string_val[0]), response.outputs["label"].string_val[0].decode(),
        log.log_metadata.sampling_config.sampling_rate,
    ]))
"""


@pytest.fixture(scope="module")
def versioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SavedModels whose label is their version: 1 to 4."""
    folder = tmp_path_factory.mktemp("versioned")
    process = run_python(str(Path(__file__).parent / "versioned_model.py"), str(folder), "1", "2", "3", "4")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return folder


@pytest.fixture(scope="module")
def busy(versioned: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves versions 1, then 2 as a canary; logs every request."""
    destination = tmp_path_factory.mktemp("busy") / "served"
    push(versioned, destination, 1)
    push(versioned, destination, 2, label="canary")
    settings = {"rest_port": 0, "grpc_port": 0, "client_timeout": 2, "max_body_bytes": 200_000}
    log = {"log_share": 1, "log_folder": str(destination.parent / "log")}
    server = start(destination, json.dumps(settings | log))
    yield server
    server.process.kill()
    server.process.communicate()


def push(versioned: Path, destination: Path, number: int, **changes: object) -> None:
    values = {"champion": None, "pipeline": "p", "run": "r", "metrics": {}} | changes
    manifest = publish(versioned / str(number), destination, model=f"model {number}", **values)  # type: ignore[arg-type]
    assert manifest.version == number


def port_of(server: Server) -> int:
    return int(server.rest.rpartition(":")[2])


def picture() -> dict[str, str]:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 30), "blue").save(buffer, "PNG")
    return b64(buffer.getvalue())


def answered(server: Server, path: str = PREDICT) -> tuple[str, str]:
    """The version named and the label answered."""
    response = httpx.post(server.rest + path, json={"instances": [picture()]})
    assert response.status_code == 200, response.text
    return response.headers["model-version"], response.json()["predictions"][0]["label"]


def wait_until(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def test_versions_and_labels_are_all_served(busy: Server) -> None:
    assert answered(busy) == ("2", "v2"), "the highest version answers who asks for none, as TensorFlow Serving has it"
    assert answered(busy, "/v1/models/traffic/labels/stable:predict") == ("1", "v1")
    assert answered(busy, "/v1/models/traffic/labels/canary:predict") == ("2", "v2")
    assert answered(busy, "/v1/models/traffic/versions/1:predict") == ("1", "v1")
    status = httpx.get(f"{busy.rest}/v1/models/traffic").json()["model_version_status"]
    assert [(one["version"], one["state"]) for one in status] == [("2", "AVAILABLE"), ("1", "AVAILABLE")]
    metadata = httpx.get(f"{busy.rest}/v1/models/traffic/labels/stable/metadata").json()
    assert metadata["model_spec"]["version"] == "1"


def test_no_request_is_lost_while_versions_come_and_one_is_rolled_back(busy: Server, versioned: Path) -> None:
    one, eight = [picture()], [picture()] * 8
    kinds = [
        post(PREDICT, {"instances": one}),
        post(PREDICT, {"inputs": {"image": eight}}),
        post("/v1/models/traffic/labels/stable:predict", {"instances": one}),
        get("/v1/models/traffic/metadata"),
        get("/v1/models/traffic"),
    ]
    stop, reports = threading.Event(), []

    def load() -> None:
        while not stop.is_set():
            reports.append(asyncio.run(run(port_of(busy), kinds * 30, 16)))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        versions.promote(busy.destination)
        for number in (3, 4):
            push(versioned, busy.destination, number)
            wait_until(lambda number=number: answered(busy) == (f"{number}", f"v{number}"))
        assert versions.rollback(busy.destination) == 3
        wait_until(lambda: answered(busy) == ("3", "v3"))
    finally:
        stop.set()
        thread.join()
    assert [failure for report in reports for failure in report.failures] == []
    answers = {number for report in reports for number in report.versions}
    assert answers >= {2, 3, 4}
    status = httpx.get(f"{busy.rest}/v1/models/traffic").json()["model_version_status"]
    assert [one["version"] for one in status if one["state"] == "AVAILABLE"] == ["3"]


def test_requests_are_counted_under_tensorflow_serving_s_names(busy: Server) -> None:
    def metrics() -> dict[str, float]:
        text = httpx.get(f"{busy.rest}/monitoring/prometheus/metrics")
        assert text.headers["content-type"].startswith("text/plain")
        assert "# TYPE :tensorflow:serving:request_count counter\n" in text.text
        return {name: float(value) for name, value in re.findall(r"^(:\S+) (\S+)$", text.text, re.MULTILINE)}

    before = metrics()
    answered(busy)
    httpx.post(f"{busy.rest}/v1/models/traffic:predict", content="")
    for index in range(20):
        httpx.get(f"{busy.rest}/v1/models/unknown-{index}")
    after = metrics()
    ok, bad = (
        f':tensorflow:serving:request_count{{model_name="traffic",status="{code}"}}'
        for code in ("OK", "INVALID_ARGUMENT")
    )
    assert after[ok] == before[ok] + 1
    assert after[bad] == before.get(bad, 0) + 1
    latency = ':tensorflow:serving:request_latency_count{API="predict",entrypoint="REST",model_name="traffic"}'
    assert after[latency] == before[latency] + 1
    assert not [name for name in after if "unknown" in name], "names that clients make up would fill the memory"


def test_a_sample_of_the_requests_is_logged(busy: Server) -> None:
    log = busy.destination.parent / "log"
    answered(busy, "/v1/models/traffic/labels/stable:predict")
    time.sleep(1.5)  # it is written to the disk a second after the last request
    process = run_python("-c", READ_LOG, *map(str, log.glob("*.tfrecord")))
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    records = [json.loads(line) for line in output.splitlines()]
    assert records[-1] == [3, "serving_default", "traffic", len(picture_bytes()), "v3", 1.0]
    assert all(f"v{version}" == label for version, _, _, _, label, _ in records)


def picture_bytes() -> bytes:
    import base64

    return base64.b64decode(picture()["b64"])


def test_slow_clients_and_large_bodies_are_sent_away(busy: Server) -> None:
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: s\r\nContent-Length: 50\r\n".encode()
    with (
        socket.create_connection(("127.0.0.1", port_of(busy)), timeout=20) as silent,
        socket.create_connection(("127.0.0.1", port_of(busy)), timeout=20) as no_head,
        socket.create_connection(("127.0.0.1", port_of(busy)), timeout=20) as no_body,
    ):
        no_head.sendall(head)
        no_body.sendall(head + b"\r\n{")
        assert silent.recv(100) == no_head.recv(100) == b"", "the connection is closed"
        answer = b"".join(iter(lambda: no_body.recv(1000), b"")).decode()
        assert answer.startswith("HTTP/1.1 408 ") and "did not come within 2 seconds" in answer
    process = psutil.Process(busy.process.pid)
    before = process.memory_info().rss
    with socket.create_connection(("127.0.0.1", port_of(busy)), timeout=60) as large:
        large.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: s\r\nContent-Length: 100000000\r\n\r\n".encode())
        for _ in range(100):
            large.sendall(bytes(1_000_000))
        assert large.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert process.memory_info().rss - before < 50 * 2**20, "a body over the limit is not kept"
    assert answered(busy) == ("3", "v3")


def test_bad_requests_leave_no_memory_behind(busy: Server) -> None:
    kinds = [
        post(PREDICT, {"instances": [1]}),
        post(PREDICT, {"instances": [b64(b"no picture")]}),
        post(PREDICT, {"signature_name": "nope", "instances": ["a"]}),
        post("/v1/models/traffic/versions/99:predict", {"instances": ["a"]}),
    ]

    def refused(count: int) -> Report:
        return asyncio.run(run(port_of(busy), kinds * (count // len(kinds)), 16))

    refused(400)
    process = psutil.Process(busy.process.pid)
    before = process.memory_info().rss
    report = refused(1200)
    assert len(report.failures) == 1200 and {failure.split()[1] for failure in report.failures} == {"400:", "404:"}
    assert process.memory_info().rss - before < 30 * 2**20
    assert answered(busy) == ("3", "v3")


def test_it_ends_in_order_under_load(busy: Server) -> None:
    reports = []
    requests = [post(PREDICT, {"instances": [picture()] * 8})] * 16
    thread = threading.Thread(target=lambda: reports.append(asyncio.run(run(port_of(busy), requests, 16))))
    thread.start()
    time.sleep(0.05)
    busy.process.send_signal(signal.SIGTERM)
    thread.join()
    output, errors = busy.process.communicate(timeout=30)
    assert (busy.process.returncode, output) == (0, "finished\n"), errors
    assert not [failure for failure in reports[0].failures if " 5" in failure], "what had begun was answered"
