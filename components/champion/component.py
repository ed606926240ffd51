"""The component, its executor and the driver that looks at the destination before the cache is asked."""

import shutil
import tempfile
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.orchestration.portable import data_types
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import path_utils

from components.driver import ObservingDriver
from serving import versions
from serving.identity import fingerprint

VERSION_PROPERTY = "served_version"


def served_version_of(champion: types.Artifact) -> int | None:
    """The version in a champion artifact, None when nothing was being served."""
    return champion.get_int_custom_property(VERSION_PROPERTY) or None


class ChampionSpec(component_spec.ComponentSpec):
    """Types of the component."""

    PARAMETERS = {
        "destination": component_spec.ExecutionParameter(type=str),
        "version": component_spec.ExecutionParameter(type=int, optional=True),
    }
    INPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model)}
    OUTPUTS = {"champion": component_spec.ChannelParameter(type=standard_artifacts.Model)}


class Executor(base_executor.BaseExecutor):
    """Copies the served model, so that its retention cannot take it from the lineage."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        destination = exec_properties["destination"]
        version = versions.champion(destination, fingerprint(model_folder(input_dict["model"])))
        champion = artifact_utils.get_single_instance(output_dict["champion"])
        champion.set_int_custom_property(VERSION_PROPERTY, version or 0)
        if version is not None:
            with tempfile.TemporaryDirectory() as scratch:
                folder = versions.fetch_version(destination, version, scratch)
                shutil.copytree(folder, path_utils.serving_model_path(champion.uri))


def model_folder(artifacts: list[types.Artifact]) -> str:
    """Folder of the saved model in a Model artifact."""
    return path_utils.serving_model_path(artifact_utils.get_single_uri(artifacts))


class Driver(ObservingDriver):
    """Notices a new champion."""

    def observe(self, execution_info: data_types.ExecutionInfo) -> dict[str, str | int]:
        destination = execution_info.exec_properties["destination"]
        candidate = fingerprint(model_folder(execution_info.input_dict["model"]))
        return {"version": versions.champion(destination, candidate) or 0}


class Champion(base_component.BaseComponent):
    """Output `champion`: the served model, which the candidate `model` is to be judged against."""

    SPEC_CLASS = ChampionSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, model: types.BaseChannel, destination: str):
        super().__init__(
            spec=ChampionSpec(
                model=model, destination=destination, champion=types.Channel(type=standard_artifacts.Model)
            )
        )
