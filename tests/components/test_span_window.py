"""Which spans a window takes: real runs, as far as the node that chooses."""

import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tfx.dsl.compiler.compiler import Compiler

from components.span_window.resolver import NAME
from components.span_window.spans import told
from pipeline.config import build_config
from pipeline.execution import ComponentError, LocalRunner
from pipeline.graph import create_pipeline
from pipeline.progress import Display

Choose = Callable[..., list[tuple[int, int]]]
GATE = {"label_drift": 1, "label_skew": 1, "drift": 1, "skew": 1}
VERSIONS = "span-{SPAN}-v{VERSION}"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def add(data: Path, name: str, **images: int) -> None:
    """A span of noise; `images` is how many of a class there are, by default 30 of each."""
    noise = np.random.default_rng(list(name.encode()))
    for label, number in ({"cat": 30, "dog": 30} | images).items():
        folder = data / name / label
        folder.mkdir(parents=True)
        for index in range(number):
            Image.fromarray(noise.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"{index:02}.png")


@pytest.fixture
def choose(data: Path, tmp_path: Path) -> Choose:
    """Runs as far as the window; returns (span, version) of its spans."""

    def choose(num_spans: int, path: str = "span-{SPAN}", train: int = 6, **settings: Any) -> list[tuple[int, int]]:
        splits = {"train": train, "eval": 2, "test": 2}
        section = {"path": f"{data}/{path}", "num_spans": num_spans, "splits": splits, "duplicates": {"near": 0}}
        document = {"name": "window", "root": str(tmp_path), "data": section | settings, "gate": GATE}
        config = build_config(document, "the test")
        config.folder.mkdir(exist_ok=True)
        graph = Compiler().compile(create_pipeline(config))
        del graph.nodes[[node.pipeline_node.node_info.id for node in graph.nodes].index(NAME) + 1 :]
        outputs = LocalRunner(Display(sys.stdout)).run_with_ir(graph)[NAME].outputs
        spans = {key: [(one.span, one.version) for one in outputs[key]] for key in outputs}
        assert spans["examples"] == spans["facts"]
        return sorted(spans["examples"])

    return choose


def test_window_rolls_and_ends_with_the_span_that_is_read(data: Path, choose: Choose) -> None:
    for number in (1, 2, 4):
        add(data, f"span-{number}")
        last = choose(2)
    assert last == [(2, 0), (4, 0)]
    assert choose(5) == [(1, 0), (2, 0), (4, 0)]
    read = data.parent / "window" / "artifacts" / "ImageExampleGen" / "examples"
    assert len(list(read.iterdir())) == 3
    assert choose(5, span=2) == [(1, 0), (2, 0)]


def test_newest_version_that_the_gate_let_pass_is_taken(
    data: Path, choose: Choose, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("span-1-v1", "span-1-v2"):
        add(data, name)
        choose(2, VERSIONS)
    add(data, "span-1-v3", dog=1)
    with pytest.raises(ComponentError, match="no image of class dog"):
        choose(2, VERSIONS)
    add(data, "span-2-v1")
    with caplog.at_level(logging.INFO, "tfx_vision.SpanWindow"):
        assert choose(2, VERSIONS) == [(1, 2), (2, 1)]
    assert "version 3 of span 1 is left out: the DataGate did not let it pass" in caplog.text
    assert "what was read of span 1 before is taken instead" in caplog.text
    assert "version 2 of" not in caplog.text


def test_span_that_was_split_differently_or_is_gone_is_left_out(
    data: Path, choose: Choose, caplog: pytest.LogCaptureFixture
) -> None:
    add(data, "span-1")
    choose(3)
    add(data, "span-2")
    assert choose(3, train=7) == [(2, 0)]
    assert "span 1 is left out: data.splits was another when it was read" in caplog.text
    assert choose(3) == [(1, 0), (2, 0)]
    artifacts = data.parent / "window" / "artifacts" / "ImageExampleGen"
    first = min((artifacts / "examples").iterdir(), key=lambda folder: int(folder.name))
    shutil.rmtree(first)
    add(data, "span-3")
    assert choose(3) == [(2, 0), (3, 0)]
    assert "span 1 is left out: its files are no longer there" in caplog.text


def test_spans_are_told_shortly() -> None:
    assert told([4]) == "span 4"
    assert told([2, 3, 4]) == "spans 2-4"
    assert told([1, 3, 4]) == "spans 1, 3, 4"
