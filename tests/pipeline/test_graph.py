"""What each component of the graph depends on."""

import hashlib
import json
from pathlib import Path
from typing import Any

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


def graph(path: str, **data: object) -> dict[str, Any]:
    """The components by name."""
    config = build_config({"name": "flowers", "data": {"path": path} | data}, "the test")
    return {component.id: component for component in create_pipeline(config).components}


def test_window_of_spans_is_between_the_gate_and_the_transform() -> None:
    one, several = graph("a/{SPAN}", num_spans=1), graph("a/{SPAN}", num_spans=3)
    assert [name for name in several if name not in one] == ["SpanWindow"]
    assert list(several)[list(several).index("SpanWindow") - 1 :][:3] == ["DataGate", "SpanWindow", "Transform"]
    assert several["DataGate"] in several["SpanWindow"].upstream_nodes
    for component, source in (
        ("StatisticsGen", "ImageExampleGen"),
        ("Transform", "SpanWindow"),
        ("Evaluator", "SpanWindow"),
        ("Report", "SpanWindow"),
    ):
        assert several[component].inputs["examples"].producer_component_id == source
        assert one[component].inputs["examples"].producer_component_id == "ImageExampleGen"


def test_another_window_reads_no_images_again() -> None:
    one, several = (graph("a/{SPAN}", num_spans=number)["ImageExampleGen"].exec_properties for number in (1, 3))
    assert one == several


def test_test_split_of_its_own_counts_once() -> None:
    several = graph("a/{SPAN}", num_spans=3, test_path="b", splits={"test": 0})
    assert several["Evaluator"].inputs["examples"].producer_component_id == "ImageExampleGen"
