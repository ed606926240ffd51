"""ImageExampleGen on tens of thousands of images: spans, shares of the classes, and Beam's runners."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from scipy import stats

from components.image_example_gen.executor import MANY
from pipeline.config import BeamConfig
from tests.beam_servers import flink_servers
from tests.components.conftest import SPLITS, Ingest, Ingested
from transform import features

FASHION = Path(__file__).parents[2] / "data" / "fashion-mnist" / "train"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FASHION.is_dir(), reason="`make demo` fetches Fashion-MNIST to data/fashion-mnist"),
]


def copy(files: list[Path], folder: Path) -> None:
    for file in files:
        (folder / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / file.parent.name / file.name)


def some(count: int) -> list[Path]:
    """The first images of each class, alternating."""
    classes = [sorted(folder.iterdir()) for folder in sorted(FASHION.iterdir())]
    return [file for files in zip(*classes, strict=False) for file in files][:count]


def class_counts(found: Ingested) -> Counter[tuple[str, str]]:
    return Counter((split, path.split("/")[0]) for path, split in found.splits().items())


def test_a_new_span_of_1000_reads_none_of_the_10000_before_it_and_moves_none(ingest: Ingest, tmp_path: Path) -> None:
    files = some(11_000)
    copy(files[:10_000], tmp_path / "spans" / "span-1")
    first = ingest(f"{tmp_path}/spans/span-{{SPAN}}")
    assert sum(len(first.records(split)) for split in features.SPLITS) == 10_000

    for file in (tmp_path / "spans" / "span-1").glob("*/*"):
        file.write_text("no image any more: whoever reads it puts it in quarantine")
    copy(files[10_000:], tmp_path / "spans" / "span-2")
    second = ingest(f"{tmp_path}/spans/span-{{SPAN}}")
    assert second.examples.span == 2 and second.quarantine["images"] == 1_000 and not second.quarantine["reasons"]
    assert sum(len(second.records(split)) for split in features.SPLITS) == 1_000

    copy(files, tmp_path / "all")
    assert ingest(tmp_path / "all").splits() == first.splits() | second.splits()


def test_classes_have_their_share_of_hashed_splits_within_the_binomial_interval(ingest: Ingest) -> None:
    counts = class_counts(ingest(FASHION))
    of_class = Counter({label: sum(counts[split, label] for split in SPLITS) for _, label in counts})
    assert set(of_class.values()) == {6_000} and len(of_class) == 10
    for split, buckets in SPLITS.items():
        low, high = stats.binom.interval(0.999, 6_000, buckets / sum(SPLITS.values()))
        for label in of_class:
            assert low <= counts[split, label] <= high, (split, label)


def test_stratified_splits_have_the_exact_share_of_each_class(ingest: Ingest) -> None:
    counts = class_counts(ingest(FASHION, splits=SPLITS | {"mode": "stratified"}))
    assert len(counts) == 30
    for (split, label), count in counts.items():
        assert abs(count - 6_000 * SPLITS[split] / sum(SPLITS.values())) <= 1, (split, label)


def test_files_are_the_same_from_processes_of_beam(ingest: Ingest, tmp_path: Path) -> None:
    """With so many images, the process that reads them here has others describe them."""
    copy(some(MANY + 1_000), tmp_path / "images")
    here = ingest(tmp_path / "images")
    assert ingest(tmp_path / "images", beam=BeamConfig(runner="multi_processing", workers=2)).files() == here.files()


def test_files_are_the_same_from_a_flink(ingest: Ingest, tmp_path: Path) -> None:
    copy(some(MANY + 1_000), tmp_path / "images")
    with flink_servers(tmp_path / "servers") as beam:
        there = ingest(tmp_path / "images", beam=beam.options())
    assert ingest(tmp_path / "images").files() == there.files()
