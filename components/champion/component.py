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
        "required": component_spec.ExecutionParameter(type=int),  # KFP has no name for a bool from TFX
    }
    INPUTS = {"model": component_spec.ChannelParameter(type=standard_artifacts.Model, optional=True)}
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
        version = champion_version(destination, input_dict.get("model"), bool(exec_properties["required"]))
        champion = artifact_utils.get_single_instance(output_dict["champion"])
        champion.set_int_custom_property(VERSION_PROPERTY, version or 0)
        if version is not None:
            with tempfile.TemporaryDirectory() as scratch:
                folder = versions.fetch_version(destination, version, scratch)
                shutil.copytree(folder, path_utils.serving_model_path(champion.uri))


def champion_version(destination: str, candidate: list[types.Artifact] | None, required: bool) -> int | None:
    """The version that a candidate is to be judged against; without a candidate the one that is served.

    Raises:
      LookupError: there is no candidate, a version is required, and nothing is served.
    """
    if candidate:
        return versions.champion(destination, fingerprint(model_folder(candidate)))
    served = versions.served_version(destination)
    if served is None and required:
        raise LookupError(f"no model version is in {destination}; run its pipeline until a model is blessed")
    return served


def model_folder(artifacts: list[types.Artifact]) -> str:
    """Folder of the saved model in a Model artifact."""
    return path_utils.serving_model_path(artifact_utils.get_single_uri(artifacts))


class Driver(ObservingDriver):
    """Notices a new champion."""

    def observe(self, execution_info: data_types.ExecutionInfo) -> dict[str, str | int]:
        destination = execution_info.exec_properties["destination"]
        required = bool(execution_info.exec_properties["required"])
        return {"version": champion_version(destination, execution_info.input_dict.get("model"), required) or 0}


class Champion(base_component.BaseComponent):
    """Output `champion`: the served model, which the candidate `model`, if there is one, is to be judged against.

    Without a candidate there has to be one, unless it is not `required`; then the output is empty.
    """

    SPEC_CLASS = ChampionSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, model: types.BaseChannel | None, destination: str, *, required: bool = True):
        super().__init__(
            spec=ChampionSpec(
                destination=destination,
                required=int(required),
                champion=types.Channel(type=standard_artifacts.Model),
                **({"model": model} if model else {}),
            )
        )
