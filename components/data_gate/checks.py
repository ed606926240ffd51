"""What is wrong with the data, a sentence each."""

from collections.abc import Mapping

from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.data_gate.statistics import Statistics, class_counts


class DataGateError(ValueError):
    """The data has anomalies; the message lists them, a sentence each."""


def find_anomalies(anomalies: Mapping[str, anomalies_pb2.Anomalies]) -> list[str]:
    """A sentence for each anomaly that ExampleValidator found, by split."""
    return [
        f"split {split}, feature {name}: {info.description}"
        for split, found in anomalies.items()
        for name, info in sorted(found.anomaly_info.items())
    ] + [
        f"split {split}: {found.dataset_anomaly_info.description}"
        for split, found in anomalies.items()
        if found.HasField("dataset_anomaly_info")
    ]


def find_missing_classes(statistics: Mapping[str, Statistics]) -> list[str]:
    """A sentence for each class of the training split that another split lacks."""
    classes = {split: class_counts(proto) for split, proto in statistics.items()}
    return [
        f"split {split} has no image of class {name}; add images of it, or give {split} more buckets in data.splits"
        for split, counts in classes.items()
        for name in sorted(set(classes["train"]) - set(counts))
    ]
