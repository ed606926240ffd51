"""The component, its checks, and the driver that finds the last span that passed."""

import json
from collections.abc import Mapping
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.orchestration.portable import data_types
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import io_utils

from components.data_gate.config import GateConfig
from components.data_gate.drift import compare, compare_splits
from components.data_gate.statistics import Statistics, class_counts, load_anomalies, load_statistics
from components.driver import ObservingDriver
from transform.config import from_json, to_json


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


class DataGateSpec(component_spec.ComponentSpec):
    """Types of the component."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "previous_span": component_spec.ExecutionParameter(type=int, optional=True),
        "previous_statistics": component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
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
        config = from_json(GateConfig, json.loads(exec_properties["config"]))
        artifact = artifact_utils.get_single_instance(input_dict["statistics"])
        statistics = load_statistics(artifact)
        anomalies = load_anomalies(artifact_utils.get_single_instance(input_dict["anomalies"]))
        found = find_anomalies(anomalies) + find_missing_classes(statistics)
        found += compare_splits(statistics, config.label_skew, config.skew)
        if uri := exec_properties.get("previous_statistics"):
            schema = io_utils.SchemaReader().read(
                io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(input_dict["schema"]))
            )
            previous = standard_artifacts.ExampleStatistics()
            previous.uri, previous.split_names = uri, artifact.split_names
            names = f"span {artifact.span}", f"span {exec_properties['previous_span']}"
            earlier = load_statistics(previous)["train"]
            found += compare(statistics["train"], earlier, names, config.label_drift, config.drift, schema)
        if found:
            raise DataGateError("; ".join(found))


class Driver(ObservingDriver):
    """Finds the statistics of the newest earlier span that a gate of this pipeline let pass."""

    def observe(self, execution_info: data_types.ExecutionInfo) -> dict[str, str | int]:
        current = artifact_utils.get_single_instance(execution_info.input_dict["statistics"])
        with self._metadata_handle as handle:
            passed = passed_statistics(handle.store, execution_info.pipeline_node)
        earlier = [artifact for artifact in passed if span_of(artifact) < current.span]
        if not earlier:
            return {"previous_span": 0, "previous_statistics": ""}
        newest = max(earlier, key=lambda artifact: (span_of(artifact), artifact.id))
        return {"previous_span": span_of(newest), "previous_statistics": newest.uri}


def passed_statistics(store: Any, node: Any) -> list[metadata_store_pb2.Artifact]:
    """Statistics that earlier executions of a node accepted, as the metadata store has them."""
    [name] = [one.name.field_value.string_value for one in node.contexts.contexts if one.type.name == "node"]
    context = store.get_context_by_type_and_name("node", name)
    executions = store.get_executions_by_context(context.id) if context else []
    done = [one.id for one in executions if one.last_known_state == metadata_store_pb2.Execution.COMPLETE]
    if not done:
        return []
    inputs = {
        event.artifact_id
        for event in store.get_events_by_execution_ids(done)
        if event.type == metadata_store_pb2.Event.INPUT and event.path.steps[0].key == "statistics"
    }
    return store.get_artifacts_by_id(sorted(inputs))


def span_of(artifact: metadata_store_pb2.Artifact) -> int:
    """The span of an artifact in the metadata store; 0 where there are no spans."""
    return artifact.properties["span"].int_value if "span" in artifact.properties else 0


class DataGate(base_component.BaseComponent):
    """No outputs: what must wait for the verdict names this component as upstream."""

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(
        self, config: GateConfig, statistics: types.BaseChannel, schema: types.BaseChannel, anomalies: types.BaseChannel
    ):
        super().__init__(
            spec=DataGateSpec(
                config=json.dumps(to_json(config)), statistics=statistics, schema=schema, anomalies=anomalies
            )
        )
