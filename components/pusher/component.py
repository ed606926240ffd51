"""The component and its executor."""

import logging
import os
from typing import Any

from tfx import types
from tfx.components.util import model_utils
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.orchestration.portable import data_types
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.champion.component import model_folder, served_version_of
from components.driver import ObservingDriver
from components.evaluator.evaluation import Evaluation, read_evaluation
from components.infra_validator.component import EXTRA, is_infra_blessed
from components.pusher.config import PusherConfig
from serving import versions
from serving.identity import fingerprint

log = logging.getLogger("tfx_vision.pusher")


class PusherSpec(component_spec.ComponentSpec):
    """Types of the component."""

    PARAMETERS = {
        "destination": component_spec.ExecutionParameter(type=str),
        "pipeline": component_spec.ExecutionParameter(type=str),
        "label": component_spec.ExecutionParameter(type=str),
        "keep": component_spec.ExecutionParameter(type=int),
        "push": component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing, optional=True),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "champion": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {"pushed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel)}


class Executor(base_executor.BaseExecutor):
    """Publishes the model; the artifact says whether, where and as which version."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        pushed = artifact_utils.get_single_instance(output_dict["pushed_model"])
        blessed = model_utils.is_model_blessed(artifact_utils.get_single_instance(input_dict["blessing"]))
        infra_blessing = input_dict.get("infra_blessing")
        if infra_blessing:
            blessed = blessed and is_infra_blessed(artifact_utils.get_single_instance(infra_blessing))
        if not blessed:
            pushed.set_int_custom_property("pushed", 0)
            return
        folder = model_folder(input_dict["model"])
        evaluation = read_evaluation(artifact_utils.get_single_uri(input_dict["evaluation"]))
        try:
            manifest = versions.publish(
                folder,
                exec_properties["destination"],
                model=fingerprint(folder),
                champion=served_version_of(artifact_utils.get_single_instance(input_dict["champion"])),
                pipeline=exec_properties["pipeline"],
                run=self._context.pipeline_run_id,
                metrics=manifest_metrics(evaluation),
                why=evaluation.reason,
                label=exec_properties["label"],
                keep=exec_properties["keep"],
                extra=os.path.join(artifact_utils.get_single_uri(infra_blessing), EXTRA) if infra_blessing else None,
            )
        except versions.WithdrawnError as error:  # somebody took this model back; a retry must not undo that
            log.warning("%s", error)
            pushed.set_int_custom_property("pushed", 0)
            pushed.set_string_custom_property("reason", str(error))
            return
        pushed.set_int_custom_property("pushed", 1)
        pushed.set_string_custom_property("pushed_destination", exec_properties["destination"])
        pushed.set_string_custom_property("pushed_version", str(manifest.version))


class Driver(ObservingDriver):
    """Notices that a version was deleted since it was pushed: the model is then pushed again."""

    def observe(self, execution_info: data_types.ExecutionInfo) -> dict[str, str | int]:
        model = fingerprint(model_folder(execution_info.input_dict["model"]))
        return {"push": versions.push_identity(execution_info.exec_properties["destination"], model)}


def manifest_metrics(evaluation: Evaluation) -> dict[str, float]:
    """What the manifest of a version says of its evaluation."""
    candidate = evaluation.candidate
    return {
        "accuracy": candidate.overall.accuracy.value,
        "balanced_accuracy": candidate.balanced_accuracy.value,
        "macro_f1": candidate.macro_f1.value,
        "calibration_error": candidate.overall.calibration_error.value,
    }


class Pusher(base_component.BaseComponent):
    """Output `pushed_model`, with the custom properties `pushed`, `pushed_destination` and `pushed_version`, or with
    `reason` where a blessed model was not pushed."""

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(
        self,
        model: types.BaseChannel,
        blessing: types.BaseChannel,
        infra_blessing: types.BaseChannel | None,
        evaluation: types.BaseChannel,
        champion: types.BaseChannel,
        config: PusherConfig,
        destination: str,
        pipeline: str,
    ):
        super().__init__(
            spec=PusherSpec(
                model=model,
                blessing=blessing,
                evaluation=evaluation,
                champion=champion,
                destination=destination,
                pipeline=pipeline,
                label=config.label,
                keep=config.keep,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
                **({"infra_blessing": infra_blessing} if infra_blessing else {}),
            )
        )
