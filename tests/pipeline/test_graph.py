"""What each component of the graph depends on."""

import hashlib
import json
from pathlib import Path

from pipeline.config import build_config
from pipeline.graph import create_pipeline


def test_search_and_training_depend_on_the_content_of_the_given_weights(tmp_path: Path) -> None:
    weights = tmp_path / "weights.h5"
    weights.write_bytes(b"weights")
    config = build_config(
        {
            "name": "flowers",
            "root": str(tmp_path),
            "data": {"path": "flowers"},
            "transfer": {"weights": str(weights)},
        },
        "the test",
    )
    components = {component.id: component for component in create_pipeline(config).components}
    for name in ("Tuner", "Trainer"):
        settings = json.loads(components[name].exec_properties["custom_config"])
        assert settings["transfer"]["sha256"] == hashlib.sha256(b"weights").hexdigest()
