"""The component: its inputs, outputs and the driver that notices new data."""

import json
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration.portable import data_types
from tfx.types import component_spec, standard_artifacts

from components.driver import ObservingDriver
from components.image_example_gen.config import DataConfig
from components.image_example_gen.executor import Executor
from components.image_example_gen.folders import fingerprint, list_images
from transform.config import from_json, to_json


class ImageExampleGenSpec(component_spec.ComponentSpec):
    """Types of the component."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "fingerprint": component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}


class Driver(ObservingDriver):
    """Notices changed files."""

    def observe(self, execution_info: data_types.ExecutionInfo) -> dict[str, str | int]:
        config = from_json(DataConfig, json.loads(execution_info.exec_properties["config"]))
        images = list_images(config.path)
        if config.test_path:
            images += list_images(config.test_path)
        return {"fingerprint": fingerprint(images)}


class ImageExampleGen(base_beam_component.BaseBeamComponent):
    """Ingests folders of images. Output `examples`: splits train, eval and test of raw tf.Examples."""

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, config: DataConfig):
        super().__init__(
            spec=ImageExampleGenSpec(
                config=json.dumps(to_json(config)), examples=types.Channel(type=standard_artifacts.Examples)
            )
        )
