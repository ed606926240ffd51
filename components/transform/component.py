"""The component: TFX's, with its own executor."""

from tfx.components.transform import component
from tfx.dsl.components.base import executor_spec

from components.transform.executor import Executor


class Transform(component.Transform):
    """Outputs `transform_graph`, `transformed_examples` and `updated_analyzer_cache`."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
