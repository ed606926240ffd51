"""The component: its inputs, outputs and the driver that notices new data."""

import json
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.orchestration.portable import data_types
from tfx.types import artifact, component_spec, standard_artifacts

from components.driver import ObservingDriver
from components.image_example_gen.config import DataConfig
from components.image_example_gen.executor import Executor, newest
from components.image_example_gen.listed import observe
from transform.config import from_json, to_json


class Quarantine(artifact.Artifact):
    """A folder with `quarantine.json` and `duplicates.json`."""

    TYPE_NAME = "Quarantine"


class ImageExampleGenSpec(component_spec.ComponentSpec):
    """Types of the component."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "fingerprint": component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "facts": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "quarantine": component_spec.ChannelParameter(type=Quarantine),
    }


class Driver(ObservingDriver):
    """Notices changed files and new spans."""

    def observe(self, execution_info: data_types.ExecutionInfo) -> dict[str, str | int]:
        settings = str(execution_info.exec_properties["config"])
        config, _ = newest(from_json(DataConfig, json.loads(settings)))
        return {"fingerprint": observe(config, settings)}


class ImageExampleGen(base_beam_component.BaseBeamComponent):
    """Ingests images.

    Outputs, in the splits train, eval and test: `examples`, raw tf.Examples; `facts`, what is known of each image
    without its bytes, as Parquet. And `quarantine`: what was left out and why, copies and near copies.
    """

    SPEC_CLASS = ImageExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, config: DataConfig):
        super().__init__(
            spec=ImageExampleGenSpec(
                config=json.dumps(relevant(config)),
                examples=types.Channel(type=standard_artifacts.Examples),
                facts=types.Channel(type=standard_artifacts.Examples),
                quarantine=types.Channel(type=Quarantine),
            )
        )


def relevant(config: DataConfig) -> dict[str, Any]:
    """The settings as JSON, without how many spans are used: another window is no reason to read images again."""
    return {name: value for name, value in to_json(config).items() if name != "num_spans"}
