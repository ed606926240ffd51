"""The component: its inputs and outputs, and the settings that it depends on."""

import dataclasses
import json
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.transform.executor import Executor
from transform.config import TransformConfig, to_json


class TransformSpec(component_spec.ComponentSpec):
    """Types of the component."""

    PARAMETERS = {"config": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "facts": component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS: dict[str, Any] = {
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "transformed_examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "updated_analyzer_cache": component_spec.ChannelParameter(type=standard_artifacts.TransformCache),
    }


class Transform(base_beam_component.BaseBeamComponent):
    """Outputs `transform_graph`, `transformed_examples` and `updated_analyzer_cache`, as TFX's Transform has them."""

    SPEC_CLASS = TransformSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, examples: types.BaseChannel, facts: types.BaseChannel, config: TransformConfig):
        """Transforms the `examples` of all spans, of which the `facts` say the classes and the sizes."""
        super().__init__(
            spec=TransformSpec(
                config=json.dumps(to_json(relevant(config))),
                examples=examples,
                facts=facts,
                transform_graph=types.Channel(type=standard_artifacts.TransformGraph),
                transformed_examples=types.Channel(type=standard_artifacts.Examples),
                updated_analyzer_cache=types.Channel(type=standard_artifacts.TransformCache),
            )
        )


def relevant(config: TransformConfig) -> TransformConfig:
    """The settings, those that change nothing here at their defaults: a change of them leaves the component cached."""
    analysed = config.normalization if config.normalization == "standardize" else "auto"
    return dataclasses.replace(config, normalization=analysed, on_bad_image="mark")
