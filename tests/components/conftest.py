"""Three classes of pictures, and one execution of ImageExampleGen on whatever it is given."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfx.types import standard_artifacts

from components.image_example_gen.component import Quarantine
from components.image_example_gen.config import DataConfig
from components.image_example_gen.executor import Executor
from pipeline.config import BeamConfig
from pipeline.kubeflow.config import FlinkConfig
from transform import features
from transform.config import from_json, to_json

SPLITS = {"train": 6, "eval": 2, "test": 2}


@dataclass(frozen=True)
class Ingested:
    """What one execution wrote."""

    examples: standard_artifacts.Examples
    facts: standard_artifacts.Examples
    quarantine: dict[str, Any]
    duplicates: dict[str, Any]

    def records(self, split: str) -> list[dict[str, Any]]:
        files = sorted(Path(self.examples.uri, f"Split-{split}").iterdir())
        found = []
        for record in tf.data.TFRecordDataset([str(file) for file in files], "GZIP").as_numpy_iterator():
            feature = tf.train.Example.FromString(record).features.feature
            found.append({name: getattr(value, value.WhichOneof("kind")).value[0] for name, value in feature.items()})
        return found

    def files(self) -> dict[str, bytes]:
        """Every file by its path: examples, facts, quarantine and duplicates."""
        root = Path(self.examples.uri).parent
        return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}

    def splits(self) -> dict[str, str]:
        """Split by the last two parts of the path."""
        return {
            "/".join(record[features.PATH].decode().split("/")[-2:]): split
            for split in features.SPLITS
            for record in self.records(split)
        }


Ingest = Callable[..., Ingested]


@pytest.fixture
def ingest(tmp_path: Path) -> Ingest:
    def ingest(path: Path | str, beam: BeamConfig | FlinkConfig | None = None, **settings: Any) -> Ingested:
        config = from_json(DataConfig, {"path": str(path), "splits": SPLITS} | settings)
        outputs = {
            "examples": standard_artifacts.Examples(),
            "facts": standard_artifacts.Examples(),
            "quarantine": Quarantine(),
        }
        number = len(list(tmp_path.glob("run-*")))
        for name, artifact in outputs.items():
            artifact.uri = str(tmp_path / f"run-{number}" / name)
            os.makedirs(artifact.uri)
        context = Executor.Context((beam or BeamConfig()).arguments, tmp_dir=str(tmp_path / "scratch"), unique_id="1")
        Executor(context).Do(
            {}, {name: [one] for name, one in outputs.items()}, {"config": json.dumps(to_json(config))}
        )
        read = {
            name: json.loads(Path(outputs["quarantine"].uri, f"{name}.json").read_text())
            for name in ("quarantine", "duplicates")
        }
        return Ingested(outputs["examples"], outputs["facts"], **read)

    return ingest


def picture(seed: int, side: int = 24) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """90 different images in three classes of 50, 30 and 10."""
    seeds = iter(range(1000))
    for label, count in (("cat", 50), ("dog", 30), ("owl", 10)):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for index in range(count):
            picture(next(seeds)).save(tmp_path / "pets" / label / f"{index:02}.png")
    return tmp_path / "pets"
