"""The component and its checks."""

from collections.abc import Mapping
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import io_utils

from transform import features


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


def find_missing_classes(statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList]) -> list[str]:
    """A sentence for each class of the training split that another split lacks."""
    classes = {split: class_counts(proto) for split, proto in statistics.items()}
    return [
        f"split {split} has no image of class {name}; add images of it, or give {split} more buckets in data.splits"
        for split, counts in classes.items()
        for name in sorted(set(classes["train"]) - set(counts))
    ]


def class_counts(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> dict[str, int]:
    """Images by class in one split's statistics."""
    for feature in statistics.datasets[0].features:
        if list(feature.path.step) == [features.LABEL]:
            return {bucket.label: int(bucket.sample_count) for bucket in feature.string_stats.rank_histogram.buckets}
    return {}


class DataGateSpec(component_spec.ComponentSpec):
    """Types of the component."""

    PARAMETERS: dict[str, Any] = {}
    INPUTS = {
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
    }
    OUTPUTS: dict[str, Any] = {}


class Executor(base_executor.BaseExecutor):
    """Raises DataGateError when there is anything to say."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        statistics = artifact_utils.get_single_instance(input_dict["statistics"])
        anomalies = artifact_utils.get_single_instance(input_dict["anomalies"])
        found = find_anomalies(load_anomalies(anomalies)) + find_missing_classes(load_statistics(statistics))
        if found:
            raise DataGateError("; ".join(found))


def load_statistics(artifact: types.Artifact) -> dict[str, statistics_pb2.DatasetFeatureStatisticsList]:
    """StatisticsGen's output by split."""
    return {
        split: tfdv.load_stats_binary(one_file(artifact, split))
        for split in artifact_utils.decode_split_names(artifact.split_names)
    }


def load_anomalies(artifact: types.Artifact) -> dict[str, anomalies_pb2.Anomalies]:
    """ExampleValidator's output by split."""
    loaded = {}
    for split in artifact_utils.decode_split_names(artifact.split_names):
        loaded[split] = anomalies_pb2.Anomalies()
        loaded[split].ParseFromString(io_utils.read_bytes_file(one_file(artifact, split)))
    return loaded


def one_file(artifact: types.Artifact, split: str) -> str:
    """The only file of a split."""
    return io_utils.get_only_uri_in_dir(artifact_utils.get_split_uri([artifact], split))


class DataGate(base_component.BaseComponent):
    """No outputs: what must wait for the verdict names this component as upstream."""

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, statistics: types.BaseChannel, anomalies: types.BaseChannel):
        super().__init__(spec=DataGateSpec(statistics=statistics, anomalies=anomalies))
