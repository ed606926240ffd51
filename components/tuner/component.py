"""The component: TFX's, with an executor that keeps every trial's metrics."""

from tfx.components.tuner import component
from tfx.dsl.components.base import executor_spec

from components.tuner.executor import Executor


class Tuner(component.Tuner):
    """Outputs `best_hyperparameters` and `tuner_results`."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
