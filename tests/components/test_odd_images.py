"""Ingestion of Pillow's own test images, hundreds of odd and broken ones, against what the serving graph can read."""

import os
import resource
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from tests.components.conftest import Ingest
from transform import features
from transform.config import TransformConfig
from transform.reading import read_images

IMAGES = os.environ.get("PILLOW_TEST_IMAGES", "")

GIB = 2**20
"""Of the kibibytes that ru_maxrss counts."""


@pytest.mark.slow
@pytest.mark.skipif(not IMAGES, reason="PILLOW_TEST_IMAGES does not name the folder Tests/images of Pillow's sdist")
def test_each_file_is_read_by_the_serving_graph_or_is_in_quarantine(ingest: Ingest, tmp_path: Path) -> None:
    files = [file for file in Path(IMAGES).rglob("*") if file.is_file()]
    assert len(files) > 500
    for number, file in enumerate(sorted(files)):
        target = tmp_path / "images" / "ab"[number % 2] / f"{number:04}{file.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)

    found = ingest(tmp_path / "images", limits={"quarantine": 1.0})
    assert found.quarantine["images"] == len(files)
    config = TransformConfig(height=32, width=32)
    usable = 0
    for split in features.SPLITS:
        for record in found.records(split):
            _, status = read_images(tf.constant([record[features.IMAGE]]), config)
            assert status.numpy()[0] == b"", (record[features.PATH], status.numpy()[0])
            usable += 1
    assert usable + len(found.quarantine["left_out"]) == len(files) and usable > 200
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 2 * GIB
