"""What the gate says about anomalies and missing classes."""

from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.data_gate.checks import find_anomalies, find_missing_classes
from transform import features


def statistics(**counts: int) -> statistics_pb2.DatasetFeatureStatisticsList:
    result = statistics_pb2.DatasetFeatureStatisticsList()
    feature = result.datasets.add().features.add()
    feature.path.step.append(features.LABEL)
    for name, count in counts.items():
        feature.string_stats.rank_histogram.buckets.add(label=name, sample_count=count)
    return result


def test_class_missing_from_a_split_is_named_with_a_remedy():
    found = find_missing_classes(
        {"train": statistics(cat=3, dog=2), "eval": statistics(dog=1), "test": statistics(cat=1, dog=1)}
    )
    assert found == ["split eval has no image of class cat; add images of it, or give eval more buckets in data.splits"]


def test_anomaly_names_split_and_feature():
    anomalies = anomalies_pb2.Anomalies()
    anomalies.anomaly_info["label"].description = "Examples contain values missing from the schema: bird (~50%)."
    found = find_anomalies({"train": anomalies_pb2.Anomalies(), "eval": anomalies})
    assert found == ["split eval, feature label: Examples contain values missing from the schema: bird (~50%)."]
