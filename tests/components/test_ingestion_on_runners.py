"""ImageExampleGen writes the same files whatever runs it: this process, Beam's own processes, or a Flink."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import tensorflow as tf

from components.image_example_gen import shards
from pipeline.config import BeamConfig
from tests.beam_servers import SERVERS, BeamServers
from tests.components.conftest import SPLITS, Ingest, Ingested
from transform import features

SETTINGS = {"splits": SPLITS | {"mode": "stratified"}, "duplicates": {"conflicts": "drop"}, "shards": 5}
"""The result depends on what all workers together have found."""


@pytest.fixture
def images(digits_folder: Path, tmp_path: Path) -> Path:
    """The digits with one that is cut off, one that is no image, a copy, and one under two labels."""
    folder = tmp_path / "images"
    shutil.copytree(digits_folder, folder)
    first, second, third, *_ = sorted((folder / "7").iterdir())
    (folder / "7" / "cut.png").write_bytes(first.read_bytes()[:60])
    (folder / "8" / "text.png").write_text("not an image")
    shutil.copy(second, folder / "7" / "copy.png")
    shutil.copy(third, folder / "8" / "contradiction.png")
    return folder


def serialized(found: Ingested, split: str) -> list[bytes]:
    """The records of a split as they were written, sorted."""
    names = tf.io.gfile.glob(f"{found.examples.uri}/Split-{split}/*")
    return sorted(record for name in names for record in shards.read_records(name))


def assert_same(found: Ingested, expected: Ingested) -> None:
    counts = {split: len(serialized(expected, split)) for split in features.SPLITS}
    assert sum(counts.values()) == 1797 and found.quarantine["images"] == 1801
    for split in features.SPLITS:
        assert serialized(found, split) == serialized(expected, split)
    assert found.files() == expected.files()


def test_records_are_serialized_in_one_order_of_their_features(pets: Path, ingest: Ingest) -> None:
    """Of themselves protocol buffers write a map in another order in each process."""
    for record in serialized(ingest(pets), "train"):
        assert record == tf.train.Example.FromString(record).SerializeToString(deterministic=True)


@pytest.mark.slow
def test_processes_of_beam_write_the_same_files(images: Path, ingest: Ingest) -> None:
    here = ingest(images, **SETTINGS)
    assert_same(ingest(images, beam=BeamConfig(runner="multi_processing", workers=2), **SETTINGS), here)


@pytest.mark.slow
@pytest.mark.parametrize("servers", SERVERS)
def test_workers_of_a_job_server_write_the_same_files(
    servers: Callable[[Path], AbstractContextManager[BeamServers]], images: Path, ingest: Ingest, tmp_path: Path
) -> None:
    here = ingest(images, **SETTINGS)
    with servers(tmp_path / "servers") as beam:
        there = ingest(images, beam=beam.options(), **SETTINGS)
        assert beam.workers >= 1
    assert_same(there, here)
