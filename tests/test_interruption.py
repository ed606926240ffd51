"""A run that is killed at bad moments, in processes of their own, and then simply started again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from pipeline.config import PipelineConfig
from serving import versions
from transform.config import to_json

COMMAND = Path(sys.executable).with_name("tfx-vision")


@pytest.fixture(scope="module")
def config(configure: Callable[..., PipelineConfig]) -> PipelineConfig:
    return configure(
        name="killed",
        infra_validator={"enabled": False},
        tuner={"enabled": False},
        trainer={"epochs": 3},
        evaluator={"min_accuracy": 0},
    )


def start(config: PipelineConfig) -> subprocess.Popen[str]:
    config.folder.mkdir(parents=True, exist_ok=True)
    file = config.folder / "config.yaml"
    file.write_text(yaml.safe_dump(to_json(config)))
    return subprocess.Popen(
        [str(COMMAND), "run", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def kill_when(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    """kill -9 as soon as something is there, which must be before the process ends by itself."""
    while not happened():
        assert process.poll() is None, process.stdout.read()  # type: ignore[union-attr]
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def test_killed_in_the_trainer_and_in_the_pusher_it_finishes_with_one_version(config):
    """The second moment is the worst: the model is published, and the metadata store does not know."""
    saved = config.folder / "artifacts" / "Trainer" / "checkpoints"
    kill_when(start(config), lambda: any(saved.glob("*/state/checkpoint")))
    assert versions.versions(config.destination) == []

    kill_when(start(config), lambda: versions.versions(config.destination) == [1])
    assert not saved.exists(), "a finished training leaves no checkpoints"
    [model] = [path for path in (config.folder / "artifacts" / "Trainer" / "model").glob("*/*/saved_model.pb")]

    process = start(config)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert versions.versions(config.destination) == [1]
    assert "✓ Trainer           train the model                            cached" in output
    assert (Path(config.destination) / "1" / "saved_model.pb").read_bytes() == model.read_bytes()
