"""The component."""

from tfx.components.bulk_inferrer import component
from tfx.dsl.components.base import executor_spec

from components.bulk_inferrer.executor import Executor


class BulkInferrer(component.BulkInferrer):
    """Output `inference_result`."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
