"""What several tests share: the digits as a folder, and one run of the pipeline on them."""

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from pipeline.config import PipelineConfig, build_config


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 1,797 digits of scikit-learn as grey 8×8 PNGs, a folder per class."""
    folder = tmp_path_factory.mktemp("digits data")
    digits = load_digits()
    for index, (pixels, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        (folder / str(digit)).mkdir(exist_ok=True)
        image = Image.fromarray((pixels * 255 / 16).astype(np.uint8))
        image.save(folder / str(digit) / f"{index:04}.png")
    return folder


@pytest.fixture(scope="session")
def configure(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., PipelineConfig]:
    """Builds the digits' configuration, in a root that all tests share; keyword arguments replace sections."""
    root = tmp_path_factory.mktemp("runs")

    def build(**sections: object) -> PipelineConfig:
        document = {
            "name": "digits",
            "root": str(root),
            "data": {"path": str(digits_folder), "splits": {"train": 6, "eval": 2, "test": 2}},
            "transform": {"height": 8, "width": 8, "channels": 1},
            "model": {"filters": [16, 32], "hidden_units": 32},
            "tuner": {
                "trials": 2,
                "epochs": 2,
                "search": {"trainer": {"learning_rate": [0.01, 0.003], "batch_size": [32]}},
            },
            "trainer": {"epochs": 14, "batch_size": 32},
            "evaluator": {"min_accuracy": 0.9},
        }
        return build_config(document | sections, "the tests")

    return build


@dataclass(frozen=True)
class Run:
    """A finished run."""

    config: PipelineConfig
    status: int
    output: str
    """What the person who started it saw."""

    def outcome(self, component: str) -> str:
        """The words behind a component's line, such as "cached"."""
        [line] = [line for line in self.output.splitlines() if line.startswith((f"✓ {component} ", f"✗ {component} "))]
        return line.split("  ")[-1].strip()

    def folder(self, component: str, output: str) -> Path:
        """The newest artifact of an output."""
        artifacts = (self.config.folder / "artifacts" / component / output).iterdir()
        return max(artifacts, key=lambda path: int(path.name))


@pytest.fixture(scope="session")
def execute() -> Callable[[PipelineConfig], Run]:
    """Runs a pipeline in this process and keeps what it printed."""
    from pipeline.local_runner import run

    def execute(config: PipelineConfig) -> Run:
        with stdout_to_file() as printed:
            status = run(config)
        return Run(config, status, printed())

    return execute


class stdout_to_file:
    """Sends file descriptor 1 to a temporary file: a session-wide fixture cannot use capfd."""

    def __enter__(self) -> Callable[[], str]:
        self._file = tempfile.TemporaryFile("w+")
        self._stdout = os.dup(1)
        os.dup2(self._file.fileno(), 1)
        return self._read

    def __exit__(self, *_: object) -> None:
        os.dup2(self._stdout, 1)
        os.close(self._stdout)
        self._file.seek(0)
        self._text = self._file.read()
        self._file.close()

    def _read(self) -> str:
        return self._text


@pytest.fixture(scope="session")
def digits_run(configure: Callable[..., PipelineConfig], execute: Callable[[PipelineConfig], Run]) -> Iterator[Run]:
    """The first run: everything is executed, and version 1 is pushed."""
    yield execute(configure())
