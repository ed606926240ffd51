"""The component: TFX's, with an executor that knows a missing champion."""

from typing import Any

from tfx import types
from tfx.components.evaluator import component, executor
from tfx.dsl.components.base import executor_spec

from components.champion.component import served_version_of


class Executor(executor.Executor):
    """Evaluates without a baseline when nothing is being served yet."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        champion = input_dict["baseline_model"][0]
        if served_version_of(champion) is None:
            input_dict = {key: value for key, value in input_dict.items() if key != "baseline_model"}
        super().Do(input_dict, output_dict, exec_properties)


class Evaluator(component.Evaluator):
    """Outputs `evaluation` and `blessing`."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
