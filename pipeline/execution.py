"""The loop over the components, on TFX's own launcher."""

import errno
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.local import local_dag_runner, runner_utils
from tfx.orchestration.portable import base_executor_operator, launcher, runtime_parameter_utils
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.proto.orchestration import pipeline_pb2

from pipeline.progress import Display, duration

log = logging.getLogger(__name__)

FULL_DISK = (os.strerror(errno.ENOSPC), "disk is full")
"""How Python and TensorFlow, and SQLite, say so."""


class ComponentError(Exception):
    """A component failed; the message is the cause in a sentence."""

    def __init__(self, component: str, cause: str):
        super().__init__(cause)
        self.component = component


@dataclass(frozen=True, kw_only=True)
class Result:
    """How one component ended."""

    execution_id: int
    """In the metadata store."""
    cached: bool
    """True when an earlier execution's outputs were taken."""
    seconds: float
    """How long it took."""
    outputs: Mapping[str, list[types.Artifact]]
    """Its output artifacts by key."""


class LocalRunner(local_dag_runner.LocalDagRunner):
    """TFX's local runner, with something to see. `run` and the `tfx` command treat it as TFX's."""

    def __init__(self, display: Display | None = None):
        super().__init__()
        self._display = display or Display(sys.stdout)

    def run_with_ir(self, pipeline: pipeline_pb2.Pipeline, run_options: Any = None) -> dict[str, Result]:
        """Runs the components in their order, each in this process.

        Raises:
          ComponentError: one failed; those before it stay cached.
        """
        if run_options:
            raise NotImplementedError("partial runs are not supported; the cache skips what is already done")
        run_id = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"
        runtime_parameter_utils.substitute_runtime_parameter(
            pipeline, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
        )
        return {
            node.pipeline_node.node_info.id: self._run_node(pipeline, node.pipeline_node) for node in pipeline.nodes
        }

    def _run_node(self, pipeline: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode) -> Result:
        name, started = node.node_info.id, time.monotonic()
        try:
            with self._display.component(name):
                result = launch(pipeline, node, started)
        except Exception as error:
            log.exception("%s failed", name)
            self._display.finish(name, "failed", "red")
            raise ComponentError(name, explain(error)) from error
        outcome = "cached" if result.cached else duration(result.seconds)
        self._display.finish(name, outcome, "dim green" if result.cached else "green")
        return result


class ImportedWhenRun(base_executor_operator.BaseExecutorOperator):
    """TFX's operator of an executor, which is imported when it runs: not where its outputs are in the cache."""

    SUPPORTED_EXECUTOR_SPEC_TYPE = list(launcher.DEFAULT_EXECUTOR_OPERATORS)
    SUPPORTED_PLATFORM_CONFIG_TYPE: list[Any] = []

    def run_executor(self, execution_info: Any) -> Any:
        operator: Any = launcher.DEFAULT_EXECUTOR_OPERATORS[type(self._executor_spec)]
        return operator(self._executor_spec).run_executor(execution_info)


def launch(pipeline: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode, started: float) -> Result:
    """Runs one component, or takes its outputs from the cache."""
    deployment = runner_utils.extract_local_deployment_config(pipeline)
    connection = deployment.metadata_connection_config
    store = metadata.Metadata(getattr(connection, connection.WhichOneof("connection_config")))
    info = launcher.Launcher(
        pipeline_node=node,
        mlmd_connection=store,
        pipeline_info=pipeline.pipeline_info,
        pipeline_runtime_spec=pipeline.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(deployment, node.node_info.id),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node.node_info.id),
        custom_executor_operators=dict.fromkeys(launcher.DEFAULT_EXECUTOR_OPERATORS, ImportedWhenRun),
    ).launch()
    assert info is not None and info.execution_id is not None
    with store:
        [execution] = store.store.get_executions_by_id([info.execution_id])
        outputs = execution_lib.get_output_artifacts(store, info.execution_id)
    state = execution.last_known_state
    if not execution_lib.is_execution_successful(execution):
        raise RuntimeError("its inputs could not be found in the metadata store")
    return Result(
        execution_id=info.execution_id,
        cached=state == metadata_store_pb2.Execution.CACHED,
        seconds=time.monotonic() - started,
        outputs=outputs,
    )


def is_ours(error: BaseException) -> bool:
    """Whether an error was raised for the user to read."""
    return type(error).__module__.split(".")[0] in ("components", "trainer_module", "transform", "serving", "pipeline")


def explain(error: BaseException) -> str:
    """The cause of a failure in a sentence: ours where there is one, else the message of the innermost error, without
    the trace Beam adds to it.
    """
    while error.__cause__ is not None and not is_ours(error):
        error = error.__cause__
    if any(words in str(error) for words in FULL_DISK):
        return "the disk is full; make room and run the same command."
    text = str(error).split(" [while running")[0].strip() or type(error).__name__
    first = " ".join(text.splitlines()[0].split())
    return first if is_ours(error) or isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {first}"
