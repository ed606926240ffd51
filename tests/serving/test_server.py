"""Starting, replacing and stopping: what a person at the terminal and the next push expect."""

import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving import ServingConfig, ServingError, publish, serve
from serving.versions import rollback
from tests.serving.running import SERVE, Server, run_python, start

ANY_PORT = '{"rest_port": 0, "grpc_port": 0}'


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def wait_for(server: Server, version: int, state: str) -> None:
    """Waits until the server reports the state of a version."""
    url = f"{server.rest}/v1/models/traffic/versions/{version}"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        statuses = httpx.get(url).json().get("model_version_status", [{}])
        if statuses[0].get("state") == state:
            return
        time.sleep(0.1)
    pytest.fail(f"version {version} is not {state}: {statuses}")


def served_versions(server: Server) -> int:
    metadata = httpx.get(f"{server.rest}/v1/models/traffic/metadata").json()
    return int(metadata["model_spec"]["version"])


def test_a_push_replaces_the_model_and_its_removal_brings_the_last_one_back(model: Path, tmp_path: Path) -> None:
    def push(identity: str) -> None:
        publish(model, tmp_path, model=identity, champion=None, pipeline="p", run="r", metrics={})

    push("first")
    server = start(tmp_path)
    try:
        push("second")
        wait_for(server, 2, "AVAILABLE")
        wait_for(server, 1, "END")
        assert served_versions(server) == 2
        (tmp_path / "3").mkdir()
        (tmp_path / "3" / "saved_model.pb").write_bytes(b"no model")
        wait_for(server, 3, "END")
        broken = httpx.get(f"{server.rest}/v1/models/traffic/versions/3").json()["model_version_status"][0]
        assert "saved_model.pb" in broken["status"]["error_message"]
        assert served_versions(server) == 2, "a version that cannot be loaded changes nothing"
        shutil.rmtree(tmp_path / "2")
        wait_for(server, 1, "AVAILABLE")
        assert served_versions(server) == 1
        server.process.send_signal(signal.SIGTERM)
        output, errors = server.process.communicate(timeout=30)
        assert (server.process.returncode, output) == (0, "finished\n"), errors
        assert "Traceback" not in errors
    finally:
        server.process.kill()
        server.process.communicate()


def test_an_object_store_is_served_and_followed(model: Path, bucket: str, tmp_path: Path) -> None:
    destination = f"{bucket}/followed"
    publish(model, destination, model="a", champion=None, pipeline="p", run="r", metrics={})
    server = start(destination)
    try:
        assert served_versions(server) == 1
        publish(model, destination, model="b", champion=1, pipeline="p", run="r", metrics={})
        wait_for(server, 2, "AVAILABLE")
        assert rollback(destination) == 1
        wait_for(server, 2, "END")
        assert served_versions(server) == 1
    finally:
        server.process.kill()
        server.process.communicate()


WARM_UP = """
import sys
import numpy as np, tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
for signature in sys.argv[2:]:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones(2, np.float32)))
    with tf.io.TFRecordWriter(f"{sys.argv[1]}/{signature}/tf_serving_warmup_requests") as writer:
        writer.write(log.SerializeToString())
"""


def test_warm_up_requests_are_answered_before_a_version_is_served(model: Path, tmp_path: Path) -> None:
    def push(identity: str, extra: Path | None) -> None:
        values = {"champion": None, "pipeline": "p", "run": "r", "metrics": {}}
        publish(model, tmp_path / "served", model=identity, extra=extra, **values)  # type: ignore[arg-type]

    for signature in ("double", "echo"):
        (tmp_path / signature).mkdir()
    process = run_python("-c", WARM_UP, str(tmp_path), "double", "echo")
    assert process.wait() == 0
    push("a", tmp_path / "double")
    server = start(tmp_path / "served")
    try:
        assert served_versions(server) == 1
        push("b", tmp_path / "echo")
        wait_for(server, 2, "END")
        status = httpx.get(f"{server.rest}/v1/models/traffic/versions/2").json()["model_version_status"][0]
        assert "Sent extra: {x}. Missing but required: {text}" in status["status"]["error_message"]
        assert served_versions(server) == 1, "what cannot answer its own warm-up requests is not served"
    finally:
        server.process.kill()
        server.process.communicate()


def test_a_saved_model_itself_is_served_as_version_1(model: Path) -> None:
    server = start(model)
    try:
        assert served_versions(server) == 1
        server.process.send_signal(signal.SIGINT)
        output, _ = server.process.communicate(timeout=30)
        assert (server.process.returncode, output) == (0, "finished\n")
    finally:
        server.process.kill()
        server.process.communicate()


def test_a_destination_whose_models_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / "saved_model.pb").write_bytes(b"no model")
    process = run_python("-c", SERVE, str(tmp_path), ANY_PORT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"error: No version of the model in {tmp_path} could be loaded. version 4: " in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(("api", "option"), [("rest_port", "--rest-port"), ("grpc_port", "--grpc-port")])
def test_a_port_in_use_is_named_at_once(model: Path, taken_port: int, api: str, option: str) -> None:
    config = ServingConfig(**{"rest_port": 0, "grpc_port": 0, api: taken_port})
    with pytest.raises(ServingError, match=f"Port {taken_port} .* is in use; .* choose another with {option}"):
        serve(model, config, model_name="traffic")


def test_a_destination_without_a_version(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=f"No model version is in {tmp_path}; run the pipeline"):
        serve(tmp_path, ServingConfig(), model_name="traffic")
    with pytest.raises(ServingError, match=r"There is no folder .*/nothing; run the pipeline first"):
        serve(tmp_path / "nothing", ServingConfig(), model_name="traffic")


def test_tensorflow_serving_is_started_where_it_is_installed(tmp_path: Path) -> None:
    binary = tmp_path / "bin" / "tensorflow_model_server"
    binary.parent.mkdir()
    binary.write_text('#!/bin/sh\necho "given: $*"\nexec sleep 60\n')
    binary.chmod(0o755)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").touch()

    def push(identity: str, **changes: Any) -> None:
        values = {"champion": None, "pipeline": "p", "run": "r", "metrics": {}} | changes
        publish(tmp_path / "model", tmp_path / "served", model=identity, **values)

    push("a")
    push("b", label="canary")
    path = f"{binary.parent}:{os.environ['PATH']}"
    process = run_python("-c", SERVE, str(tmp_path / "served"), ANY_PORT, PATH=path)
    assert process.stdout
    try:
        given, ours = sorted(process.stdout.readline() for _ in range(2))[::-1]
        options = r"--rest_api_port=(\d+) --port=(\d+) --model_config_file=(\S+)"
        match = re.match(f"given: {options} --model_config_file_poll_wait_seconds=1 ", given)
        assert match, given
        models = Path(match[3])
        assert "versions: 1 versions: 2 }" in models.read_text()
        assert 'version_labels { key: "canary" value: 2 }' in models.read_text()
        rollback(tmp_path / "served")
        deadline = time.monotonic() + 30
        while "canary" in models.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "specific { versions: 1 }" in models.read_text()
        push("c")
        while "versions: 3" not in models.read_text() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert "specific { versions: 1 versions: 3 }" in models.read_text(), "a label leaves what is still loaded"
        assert f"http://localhost:{match[1]}/v1/models/traffic:predict, gRPC at localhost:{match[2]}," in ours
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30)[0] == "finished\n"
        assert not models.exists()
    finally:
        process.kill()
        process.communicate()
