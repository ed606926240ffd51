"""The executor of StatisticsGen."""

import os
from typing import Any

import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.data_gate.statistics import Statistics, feature_statistics, load_statistics
from components.image_example_gen.shards import facts_files, read_table
from components.statistics_gen.by_class import add_classes
from transform import features

FILE = "FeatureStats.pb"
"""As TFX's own executor names it."""
IN_MEMORY = 2_000_000
"""Images of a split whose facts are held in memory, about 300 bytes each."""


class Executor(base_beam_executor.BaseBeamExecutor):
    """Writes the statistics of each split and, as slices of them, of each class."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        examples = artifact_utils.get_single_instance(input_dict["examples"])
        statistics = artifact_utils.get_single_instance(output_dict["statistics"])
        options = tfdv.StatsOptions.from_json(exec_properties["stats_options_json"])
        splits = artifact_utils.decode_split_names(examples.split_names)
        tables = {split: load(examples.uri, split, options.feature_allowlist) for split in splits}
        statistics.split_names, statistics.span = examples.split_names, examples.span
        files = {split: os.path.join(artifact_utils.get_split_uri([statistics], split), FILE) for split in splits}
        if max(map(len, tables.values())) > IN_MEMORY:
            from tfx.components.statistics_gen.executor import Executor as OnBeam  # imports TensorFlow

            OnBeam(self._context).Do(input_dict, output_dict, exec_properties)
            computed = load_statistics(statistics)
        else:
            computed = {
                split: generate_statistics_in_memory(as_batch(table), options) for split, table in tables.items()
            }
        for split, file in files.items():
            add_images(computed[split])
            add_classes(computed[split], tables[split])
            io_utils.write_bytes_file(file, computed[split].SerializeToString())


def load(folder: str, split: str, columns: list[str]) -> pa.Table:
    """The facts of a split."""
    return known(pa.concat_tables([read_table(file, columns) for file in facts_files(folder, split)]).select(columns))


def known(table: pa.Table) -> pa.Table:
    """Without what is not known of any image."""
    return table.select([name for name in table.column_names if table[name].null_count < len(table)])


def add_images(statistics: Statistics) -> None:
    """Adds the statistics of the images themselves, which follow from their sizes: every record has one."""
    sizes = feature_statistics(statistics, features.FILE_BYTES)
    assert sizes is not None
    images = statistics.datasets[0].features.add(type=statistics_pb2.FeatureNameStatistics.BYTES)
    images.path.step.append(features.IMAGE)
    images.bytes_stats.common_stats.CopyFrom(sizes.num_stats.common_stats)
    images.bytes_stats.avg_num_bytes = sizes.num_stats.mean
    images.bytes_stats.min_num_bytes = sizes.num_stats.min
    images.bytes_stats.max_num_bytes = sizes.num_stats.max


def as_batch(table: pa.Table) -> pa.RecordBatch:
    """One record batch, which is what TFDV takes."""
    columns = [column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, table.column_names)
