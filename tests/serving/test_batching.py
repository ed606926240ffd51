"""Requests that come together run together, and none notices the others."""

import json
from pathlib import Path

import pytest

from tests.serving.running import run_python

# TensorFlow is imported in a process of its own, once for all of these.
PROBE = """
import json, sys, threading, time
from pathlib import Path
import numpy as np
from serving.batching import Batcher
from serving.errors import RequestError
from serving.models import LoadedVersion

loaded = LoadedVersion(1, Path(sys.argv[1]))
runs = []
original = loaded.run
def run(signature, inputs, outputs=()):
    runs.append(int(next(iter(inputs.values())).shape[0]))
    time.sleep(0.05)
    return original(signature, inputs, outputs)
loaded.run = run

def together(batcher, signature, requests, outputs=()):
    runs.clear()
    answers = [None] * len(requests)
    def ask(index):
        try:
            answers[index] = {name: array.tolist() for name, array in
                              batcher.run(loaded, signature, requests[index], outputs).items()}
        except RequestError as error:
            answers[index] = error.message
    threads = [threading.Thread(target=ask, args=[index]) for index in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, list(runs)

batcher = Batcher(8)
x = lambda *values: {"x": np.array(values, np.float32)}
text = np.array([b"no picture"], object)
told = {}
told["double"] = together(batcher, "double", [x(index) for index in range(10)])
told["sizes"] = together(batcher, "double", [x(*range(index)) for index in range(1, 7)])
told["off"] = together(Batcher(1), "double", [x(1), x(2), x(3)])
told["large"] = together(batcher, "double", [x(*range(8)), x(*range(20)), x()])
told["scalar"] = together(batcher, "add", [
    {"pair": np.array([[index, 1]], np.int32), "negate": np.array([False])} for index in range(4)])
told["scalar again"] = together(batcher, "add", [
    {"pair": np.array([[index, 1]], np.int32), "negate": np.array([False])} for index in range(4)])
told["fault"] = together(batcher, "examples", [{"examples": np.array([b"x"], object)}] * 4)
told["shapes"] = together(batcher, "double", [x(1), x(2), {"x": np.zeros([1, 2], np.float32)}, x(3)])
told["left"] = len(batcher._queues)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(model: Path) -> dict:
    process = run_python("-c", PROBE, str(model))
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(output)


def test_each_request_gets_its_own_rows(told: dict) -> None:
    answers, runs = told["double"]
    assert answers == [{"y": [2.0 * index]} for index in range(10)]
    assert sum(runs) == 10 and len(runs) < 10, "some ran together"
    answers, runs = told["sizes"]
    assert answers == [{"y": [2.0 * value for value in range(index)]} for index in range(1, 7)]
    assert max(runs) <= 8, "no batch is larger than it may be"


def test_batching_can_be_off(told: dict) -> None:
    assert told["off"] == [[{"y": [2.0]}, {"y": [4.0]}, {"y": [6.0]}], [1, 1, 1]]


def test_requests_that_are_a_batch_by_themselves(told: dict) -> None:
    answers, runs = told["large"]
    assert [len(answer["y"]) for answer in answers] == [8, 20, 0]
    assert sorted(runs) == [0, 8, 20]


def test_an_output_without_a_row_for_each_request_keeps_its_signature_out_of_batches(told: dict) -> None:
    for case in ("scalar", "scalar again"):
        answers, _ = told[case]
        assert answers == [{"count": 2, "sum": [index + 1]} for index in range(4)]
    assert told["scalar again"][1] == [1, 1, 1, 1]


def test_a_request_at_fault_does_not_spoil_the_others(told: dict) -> None:
    answers, _ = told["fault"]
    assert len(answers) == 4 and all("Could not parse example input" in answer for answer in answers)
    answers, _ = told["shapes"]
    assert [answers[index] for index in (0, 1, 3)] == [{"y": [2.0]}, {"y": [4.0]}, {"y": [6.0]}]
    assert "should have the shape (None,) but has (1, 2)" in answers[2]


def test_nothing_is_left_behind(told: dict) -> None:
    assert told["left"] == 0
