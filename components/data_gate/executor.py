"""The executor of DataGate."""

import json
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils

from components.data_gate.checks import DataGateError, find_anomalies, find_missing_classes
from components.data_gate.config import GateConfig
from components.data_gate.drift import compare, compare_splits
from components.data_gate.passed import newest_before, remember
from components.data_gate.statistics import Statistics, load_anomalies, load_statistics
from transform.config import from_json


class Executor(base_executor.BaseExecutor):
    """Raises DataGateError when there is anything to say."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        config = from_json(GateConfig, json.loads(exec_properties["config"]))
        artifact = artifact_utils.get_single_instance(input_dict["statistics"])
        statistics = load_statistics(artifact)
        anomalies = load_anomalies(artifact_utils.get_single_instance(input_dict["anomalies"]))
        found = find_anomalies(anomalies) + find_missing_classes(statistics)
        found += compare_splits(statistics, config.label_skew, config.skew)
        if earlier := previous_span(config, artifact, exec_properties):
            schema = io_utils.SchemaReader().read(
                io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(input_dict["schema"]))
            )
            names = f"span {artifact.span}", f"span {earlier[0]}"
            found += compare(statistics["train"], earlier[1], names, config.label_drift, config.drift, schema)
        if found:
            raise DataGateError("; ".join(found))
        if config.passed:
            remember(config.passed, artifact.span, statistics["train"])


def previous_span(
    config: GateConfig, artifact: types.Artifact, exec_properties: dict[str, Any]
) -> tuple[int, Statistics] | None:
    """The last span that passed, and the statistics of its training split: from the driver, or from the folder."""
    if uri := exec_properties.get("previous_statistics"):
        previous = standard_artifacts.ExampleStatistics()
        previous.uri, previous.split_names = uri, artifact.split_names
        return exec_properties["previous_span"], load_statistics(previous)["train"]
    return newest_before(config.passed, artifact.span) if config.passed else None
