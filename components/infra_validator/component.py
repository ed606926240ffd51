"""The component and its executor."""

import json
import os
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.champion.component import model_folder
from components.evaluator.requests import read_requests
from components.infra_validator.config import InfraValidatorConfig
from components.infra_validator.trial import Trial, run_trial
from transform.config import from_json, to_json

FILE = "infra.json"
EXTRA = "assets.extra"
"""Folder of the artifact with what a pushed version gets besides the model: the warm-up requests."""
BLESSED, NOT_BLESSED = "INFRA_BLESSED", "INFRA_NOT_BLESSED"
"""The file in the artifact, as TFX names it."""
SKIPPED = "the model missed a threshold of the evaluation, so it was not tried in a server"


class InfraValidatorSpec(component_spec.ComponentSpec):
    """Types of the component."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "model_name": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
    }
    OUTPUTS = {"blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)}


class Executor(base_executor.BaseExecutor):
    """Tries the model unless the Evaluator has refused it."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        artifact = artifact_utils.get_single_instance(output_dict["blessing"])
        os.makedirs(artifact.uri, exist_ok=True)
        if artifact_utils.get_single_instance(input_dict["model_blessing"]).get_int_custom_property("blessed") != 1:
            trial = Trial(misses=[SKIPPED])
        else:
            trial = try_model(
                model_folder(input_dict["model"]),
                artifact_utils.get_single_uri(input_dict["evaluation"]),
                artifact.uri,
                from_json(InfraValidatorConfig, json.loads(exec_properties["config"])),
                exec_properties["model_name"],
            )
        Path(artifact.uri, FILE).write_text(json.dumps(trial.to_json(), indent=1), encoding="utf-8")
        Path(artifact.uri, NOT_BLESSED if trial.misses else BLESSED).touch()
        artifact.set_int_custom_property("blessed", 0 if trial.misses else 1)


def try_model(model: str, evaluation: str, output: str, config: InfraValidatorConfig, model_name: str) -> Trial:
    """Writes the warm-up requests and serves the model with them.

    Args:
      model: folder of the saved model.
      evaluation: folder of its evaluation.
      output: folder of the artifact.
      config: what the model must keep to.
      model_name: the name it is served under.
    """
    from components.infra_validator.warmup import string_inputs, write_warm_up

    inputs, extra = string_inputs(model), os.path.join(output, EXTRA)
    write_warm_up(extra, model_name, inputs)
    return run_trial(model, extra, model_name, inputs, read_requests(evaluation), config)


def read_trial(folder: str) -> Trial:
    """What is in the artifact's folder."""
    return Trial(**json.loads(Path(folder, FILE).read_text(encoding="utf-8")))


def is_infra_blessed(blessing: types.Artifact) -> bool:
    """Whether the model can be served."""
    return blessing.get_int_custom_property("blessed") == 1


class InfraValidator(base_component.BaseComponent):
    """Output `blessing`, an InfraBlessing with `infra.json` and the warm-up requests."""

    SPEC_CLASS = InfraValidatorSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        evaluation: types.BaseChannel,
        config: InfraValidatorConfig,
        model_name: str,
    ):
        super().__init__(
            spec=InfraValidatorSpec(
                model=model,
                model_blessing=model_blessing,
                evaluation=evaluation,
                config=json.dumps(to_json(config), sort_keys=True),
                model_name=model_name,
                blessing=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
