"""Digits that come in spans, and a window of two of them.

The tests run in their order: each run builds on the one before, as a user's would.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from transform import features


@pytest.fixture(scope="module")
def run_with_span(configure, execute, digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    """Adds a span, a quarter of the digits, and runs the pipeline on a window of two."""
    folder = tmp_path_factory.mktemp("spans")
    config = configure(
        name="window",
        data={
            "path": f"{folder}/span-{{SPAN}}",
            "num_spans": 2,
            "splits": {"train": 6, "eval": 2, "test": 2},
            "duplicates": {"near": 0},
        },
        transform={"height": 8, "width": 8, "channels": 1, "normalization": "standardize"},
        tuner={"enabled": False},
        trainer={"epochs": 1, "batch_size": 32},
        evaluator={"min_accuracy": 0, "max_accuracy_drop": 1},
        infra_validator={"enabled": False},
    )

    def run_with_span(number: int):
        for path in digits_folder.rglob("*.png"):
            if int(path.stem) % 4 == number % 4:
                target = folder / f"span-{number}" / path.parent.name / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        return execute(config)

    return run_with_span


def images(folder: Path, split: str) -> int:
    """Records of a split."""
    import tensorflow as tf

    files = [str(file) for file in (folder / f"Split-{split}").iterdir()]
    return sum(1 for _ in tf.data.TFRecordDataset(files, compression_type="GZIP"))


def counts(run, component: str, output: str) -> Counter:
    """Records by split in the newest artifact of an output."""
    return Counter({split: images(run.folder(component, output), split) for split in features.SPLITS})


def judged_on(run) -> int:
    """Test images in the evaluation."""
    from components.evaluator.evaluation import read_evaluation

    return read_evaluation(str(run.folder("Evaluator", "evaluation"))).candidate.overall.images


@pytest.fixture(scope="module")
def first(run_with_span):
    return run_with_span(1)


def test_first_span_is_all_there_is(first) -> None:
    assert first.status == 0, first.output
    ingested = counts(first, "ImageExampleGen", "examples")
    assert ingested.total() > 400 and counts(first, "Transform", "transformed_examples") == ingested
    assert f"Training  span 1 ({ingested['train']} images)" in first.output


def test_new_span_alone_is_read_and_analysed_and_both_are_trained_and_judged_on(
    first, run_with_span, caplog: pytest.LogCaptureFixture
) -> None:
    before = counts(first, "Transform", "transformed_examples")
    second = run_with_span(2)
    assert second.status == 0, second.output
    now = counts(second, "ImageExampleGen", "examples")
    assert 400 < now.total() < 500
    assert "1 of 2 spans have to be analysed" in caplog.text
    assert counts(second, "Transform", "transformed_examples") == before + now
    assert f"Training  spans 1-2 ({before['train'] + now['train']} images)" in second.output
    assert f"test {now['test']} in span 2" in second.output
    assert judged_on(second) == before["test"] + now["test"]
    page = (second.config.folder / "report.html").read_text()
    assert "The model was trained on spans 1-2; what follows is of span 2." in page


def test_same_command_again_is_cached(first, execute) -> None:
    again = execute(first.config)
    assert again.status == 0, again.output
    for component in ("ImageExampleGen", "Transform", "Trainer", "Evaluator", "Report"):
        assert again.outcome(component) == "cached"
    assert "Training  spans 1-2 (" in again.output
