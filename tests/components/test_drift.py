"""What the gate says of spans and splits that differ, and that it is silent about chance."""

import json

import numpy as np
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2
from tfx.types import standard_artifacts

from components.data_gate.checks import DataGateError, find_anomalies
from components.data_gate.config import GateConfig
from components.data_gate.drift import compare, compare_splits
from components.data_gate.executor import Executor
from components.data_gate.statistics import Statistics, class_counts, feature_statistics
from components.image_example_gen.shards import to_table
from components.schema_gen.component import SchemaError, parse_schema
from components.schema_gen.executor import propose
from components.statistics_gen.component import statistics_options
from components.statistics_gen.executor import add_images, as_batch, known
from transform import features
from transform.config import to_json

NAMES = ("span 2", "span 1")


def statistics(count: int, seed: int, *, brightness: float = 140, side: int = 200, **shares: float) -> Statistics:
    """Of images whose brightness, sizes and labels are drawn."""
    chance = np.random.default_rng(seed)
    labels = chance.choice(list(shares or {"cat": 0, "dog": 0}), count, p=list(shares.values()) or None)
    facts = [
        {
            features.LABEL: str(label).encode(),
            features.HEIGHT: int(chance.integers(side // 2, side)),
            features.WIDTH: int(chance.integers(side // 2, side)),
            features.CHANNELS: 3,
            features.BIT_DEPTH: 8,
            features.ORIENTATION: 1,
            features.FORMAT: b"PNG",
            features.FILE_BYTES: int(chance.integers(1000, 9000)),
            features.BRIGHTNESS: float(np.clip(chance.normal(brightness, 25), 0, 255)),
        }
        for label in labels
    ]
    options = statistics_options()
    found = generate_statistics_in_memory(as_batch(known(to_table(facts).select(options.feature_allowlist))), options)
    add_images(found)
    return found


@pytest.fixture
def pass_gate(tmp_path):
    """Runs the gate on a span's statistics as on a cluster: no driver has told it which span passed before."""

    def pass_gate(span: int, found: Statistics) -> None:
        folder = tmp_path / str(span)
        inputs = {
            "statistics": (standard_artifacts.ExampleStatistics(), "Split-train/FeatureStats.pb", found),
            "anomalies": (
                standard_artifacts.ExampleAnomalies(),
                "Split-train/SchemaDiff.pb",
                anomalies_pb2.Anomalies(),
            ),
            "schema": (standard_artifacts.Schema(), "schema.pbtxt", None),
        }
        for name, (artifact, file, message) in inputs.items():
            artifact.uri = str(folder / name)
            (folder / name / file).parent.mkdir(parents=True)
            (folder / name / file).write_bytes(message.SerializeToString() if message else b"")
        for name in ("statistics", "anomalies"):
            inputs[name][0].split_names = '["train"]'
        inputs["statistics"][0].span = span
        config = GateConfig(passed=str(tmp_path / "passed"))
        properties = {"config": json.dumps(to_json(config))}
        Executor().Do({name: [artifact] for name, (artifact, *_) in inputs.items()}, {}, properties)

    return pass_gate


def test_span_is_compared_with_the_last_one_before_it_that_passed(pass_gate, tmp_path):
    pass_gate(1, statistics(1000, 0))
    with pytest.raises(DataGateError, match=r"span 3: the median brightness is .* in span 1"):
        pass_gate(3, statistics(1000, 1, brightness=60))
    pass_gate(2, statistics(1000, 2))
    with pytest.raises(DataGateError, match=r"span 4: the median brightness is .* in span 2"):
        pass_gate(4, statistics(1000, 3, brightness=60))
    pass_gate(0, statistics(1000, 4, brightness=60))  # nothing passed before it
    assert sorted(path.name for path in (tmp_path / "passed").iterdir()) == ["span-0.pb", "span-1.pb", "span-2.pb"]


@pytest.mark.parametrize("sizes", [(30, 300), (300, 300), (3000, 3000)])
@pytest.mark.parametrize("seed", range(5))
def test_chance_is_no_drift_however_few_the_images(sizes, seed):
    one, other = statistics(sizes[0], 2 * seed), statistics(sizes[1], 2 * seed + 1)
    assert compare(one, other, NAMES, 0.05, 0.05) == []


def test_darkened_span_is_named_with_both_medians_and_the_threshold():
    [sentence] = compare(statistics(1000, 0, brightness=60), statistics(1000, 1, brightness=140), NAMES, 0.1, 0.15)
    assert sentence.startswith("span 2: the median brightness is ")
    now, before = (float(words.split(" ")[-1]) for words in sentence.split(" in span 1")[0].split(", "))
    assert abs(now - 60) < 5 and abs(before - 140) < 5
    assert "the Jensen-Shannon divergence of the brightness is 0." in sentence and "above the threshold 0.1" in sentence


def test_larger_images_are_named():
    found = compare(statistics(1000, 0, side=800), statistics(1000, 1), NAMES, 0.1, 0.15)
    assert [sentence.split(" is ")[0] for sentence in found] == [
        "span 2: the median height",
        "span 2: the median width",
    ]


def test_shifted_class_balance_is_named_with_both_shares():
    [sentence] = compare(statistics(4000, 0, cat=0.8, dog=0.2), statistics(4000, 1, cat=0.5, dog=0.5), NAMES, 0.1, 0.15)
    assert "class balance: " in sentence and "% in span 1; the L-infinity distance is 0." in sentence


def test_threshold_of_an_accepted_schema_replaces_the_setting():
    schema = schema_pb2.Schema()
    label = schema.feature.add(name=features.LABEL, type=schema_pb2.BYTES)
    label.drift_comparator.infinity_norm.threshold = 0.5
    spans = statistics(4000, 0, cat=0.8, dog=0.2), statistics(4000, 1, cat=0.5, dog=0.5)
    assert compare(*spans, NAMES, 0.1, 0.15, schema) == []


def test_every_split_is_compared_with_the_training_split():
    splits = {"train": statistics(900, 0), "eval": statistics(900, 1), "test": statistics(900, 2, brightness=30)}
    [sentence] = compare_splits(splits, 0.3, 0.3)
    assert sentence.startswith("split test: the median brightness is ") and "in the training split" in sentence


def test_new_label_a_missing_one_and_an_unexpected_size_violate_the_proposed_schema():
    schema = propose(statistics(500, 0))
    tfdv.set_domain(schema, features.HEIGHT, schema_pb2.IntDomain(min=50, max=200))
    anomalies = tfdv.validate_statistics(statistics(500, 1, side=900, cat=0.4, dog=0.5, bird=0.1), schema)
    found = " ".join(find_anomalies({"train": anomalies}))
    assert "feature label" in found and "bird" in found
    assert "feature height" in found
    assert find_anomalies({"train": tfdv.validate_statistics(statistics(500, 2), schema)}) == []


def test_proposed_schema_lists_every_class_and_knows_the_image():
    names = {f"class {index:03}": 1 / 300 for index in range(300)}
    found = statistics(9000, 0, **names)
    assert len(class_counts(found)) == 300
    schema = propose(found)
    assert len(tfdv.get_domain(schema, features.LABEL).value) == 300
    assert sorted(tfdv.get_domain(schema, features.FORMAT).value) == ["BMP", "GIF", "JPEG", "PNG", "WEBP"]
    [image] = [feature for feature in schema.feature if feature.name == features.IMAGE]
    assert image.HasField("image_domain") and image.presence.min_fraction == 1
    assert feature_statistics(found, features.IMAGE).bytes_stats.common_stats.num_non_missing == 9000


@pytest.mark.parametrize(
    ("text", "sentence"), [("feature {", "is not a schema"), ('feature { name: "label" }', "has no feature image")]
)
def test_file_that_is_no_schema_of_images_is_refused(text, sentence):
    with pytest.raises(SchemaError, match=sentence):
        parse_schema(text, "schema.pbtxt")
