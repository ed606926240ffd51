"""Reading the statistics and anomalies that TFX's artifacts hold."""

from typing import TypeAlias

from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx import types
from tfx.types import artifact_utils
from tfx.utils import io_utils

from transform import features

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList

ALL = "All Examples"
"""What TFDV calls the statistics of all examples where there are slices beside them."""
CLASS = f"{features.LABEL}_"
"""What a class's slice is called, before the name of the class."""


def all_examples(statistics: Statistics) -> statistics_pb2.DatasetFeatureStatistics:
    """The statistics that are of no slice."""
    return next((dataset for dataset in statistics.datasets if dataset.name == ALL), statistics.datasets[0])


def feature_statistics(statistics: Statistics, name: str) -> statistics_pb2.FeatureNameStatistics | None:
    """One feature's statistics over all examples, None when there are none."""
    return features_of(all_examples(statistics)).get(name)


def features_of(dataset: statistics_pb2.DatasetFeatureStatistics) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    """The statistics of one dataset by feature."""
    return {".".join(feature.path.step): feature for feature in dataset.features}


def by_class(statistics: Statistics) -> dict[str, dict[str, statistics_pb2.FeatureNameStatistics]]:
    """The statistics of each class by feature; {} where they are not sliced by class."""
    sliced = (dataset for dataset in statistics.datasets if dataset.name.startswith(CLASS))
    return {dataset.name.removeprefix(CLASS): features_of(dataset) for dataset in sliced}


def class_counts(statistics: Statistics) -> dict[str, int]:
    """Images by class in one split's statistics."""
    label = feature_statistics(statistics, features.LABEL)
    if label is None:
        return {}
    return {bucket.label: int(bucket.sample_count) for bucket in label.string_stats.rank_histogram.buckets}


def load_statistics(artifact: types.Artifact) -> dict[str, Statistics]:
    """StatisticsGen's output by split."""
    return {
        split: statistics_pb2.DatasetFeatureStatisticsList.FromString(
            io_utils.read_bytes_file(one_file(artifact, split))
        )
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
