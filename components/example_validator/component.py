"""The component: TFX's with another executor."""

from tfx.components.example_validator import component
from tfx.dsl.components.base import executor_spec

from components.example_validator.executor import Executor


class ExampleValidator(component.ExampleValidator):
    """Output `anomalies` of the `statistics` against the `schema`, by split."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
