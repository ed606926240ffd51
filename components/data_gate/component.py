"""The component, and the driver that finds the last span that passed."""

import json
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.portable import data_types
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.data_gate.config import GateConfig
from components.data_gate.executor import Executor
from components.driver import ObservingDriver
from transform.config import to_json


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


class Driver(ObservingDriver):
    """Finds the statistics of the newest earlier span that a gate of this pipeline let pass."""

    def observe(self, execution_info: data_types.ExecutionInfo) -> dict[str, str | int]:
        current = artifact_utils.get_single_instance(execution_info.input_dict["statistics"])
        with self._metadata_handle as handle:
            passed = passed_statistics(handle.store, context_name(execution_info.pipeline_node))
        earlier = [artifact for artifact in passed if span_of(artifact) < current.span]
        if not earlier:
            return {"previous_span": 0, "previous_statistics": ""}
        newest = max(earlier, key=lambda artifact: (span_of(artifact), artifact.id))
        return {"previous_span": span_of(newest), "previous_statistics": newest.uri}


def context_name(node: Any) -> str:
    """What the metadata store calls a node of a pipeline."""
    [name] = [one.name.field_value.string_value for one in node.contexts.contexts if one.type.name == "node"]
    return str(name)


def passed_statistics(store: Any, gate: str) -> list[metadata_store_pb2.Artifact]:
    """Statistics that earlier executions of a gate accepted, as the metadata store has them."""
    context = store.get_context_by_type_and_name("node", gate)
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
