"""The executor of ExampleValidator."""

import os
from typing import Any

from tensorflow_data_validation.api.validation_api import validate_statistics
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.data_gate.statistics import load_statistics

FILE = "SchemaDiff.pb"
BLESSED = "blessed"
"""The file and the property, as TFX's own executor names them."""


class Executor(base_executor.BaseExecutor):
    """Writes what in the statistics of each split is against the schema."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        statistics = artifact_utils.get_single_instance(input_dict["statistics"])
        anomalies = artifact_utils.get_single_instance(output_dict["anomalies"])
        schema = io_utils.SchemaReader().read(
            io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(input_dict["schema"]))
        )
        anomalies.split_names, anomalies.span = statistics.split_names, statistics.span
        blessed = {}
        for split, of_split in load_statistics(statistics).items():
            found = validate_statistics(of_split, schema)
            folder = artifact_utils.get_split_uri([anomalies], split)
            io_utils.write_bytes_file(os.path.join(folder, FILE), found.SerializeToString())
            blessed[split] = 0 if found.anomaly_info or found.HasField("dataset_anomaly_info") else 1
        anomalies.set_json_value_custom_property(BLESSED, blessed)
