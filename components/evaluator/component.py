"""The component and its executor."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts
from tfx.utils import io_utils

from components.champion.component import model_folder, served_version_of
from components.evaluator.config import EvaluatorConfig
from components.evaluator.evaluation import read_evaluation, write_evaluation
from components.evaluator.requests import write_requests
from components.evaluator.tally import CANDIDATE, CHAMPION
from transform.config import from_json, to_json

SPLIT = "test"
BLESSED, NOT_BLESSED = "BLESSED", "NOT_BLESSED"
"""The file in a blessing, as TFX names it."""


class EvaluatorSpec(component_spec.ComponentSpec):
    """Types of the component."""

    PARAMETERS = {"config": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "baseline_model": component_spec.ChannelParameter(type=standard_artifacts.Model),
    }
    OUTPUTS = {
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class Executor(base_beam_executor.BaseBeamExecutor):
    """Counts in Beam, judges, and writes evaluation and blessing."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        config = from_json(EvaluatorConfig, json.loads(exec_properties["config"]))
        champion = artifact_utils.get_single_instance(input_dict["baseline_model"])
        models = {CANDIDATE: model_folder(input_dict["model"])}
        if served_version_of(champion) is not None:
            models[CHAMPION] = model_folder(input_dict["baseline_model"])
        folder = artifact_utils.get_single_uri(output_dict["evaluation"])
        with self._make_beam_pipeline() as pipeline:
            evaluate(pipeline, config, examples_files(input_dict["examples"]), models, folder)
        write_blessing(
            artifact_utils.get_single_instance(output_dict["blessing"]),
            blessed=read_evaluation(folder).blessed,
            candidate=artifact_utils.get_single_instance(input_dict["model"]),
            champion=champion if CHAMPION in models else None,
            component=exec_properties.get("current_component_id"),
        )


def evaluate(
    pipeline: "beam.Pipeline",
    config: EvaluatorConfig,
    files: Sequence[str],
    models: Mapping[str, str],
    folder: str,
) -> None:
    """Adds to a pipeline what evaluates the models on the files' examples and writes what was found.

    Args:
      pipeline: Beam's.
      config: thresholds and settings.
      files: GZIP'd TFRecords of raw examples.
      models: folders of the saved models by name, the candidate first.
      folder: where the evaluation is written to.
    """
    from components.evaluator import inference

    source = pipeline | "Files" >> beam.Create(list(files)) | beam.Reshuffle()
    count = inference.CountFile(models, config.slicings, config.top_k)
    tally = source | "Count" >> beam.ParDo(count) | "Merge" >> beam.CombineGlobally(inference.Merge())
    changed = pipeline | "NoChanges" >> beam.Create([])
    if config.robustness:
        lowest = source | "Sample" >> inference.LowestHashes(config.robustness)
        changed = (
            source
            | "Change"
            >> beam.ParDo(inference.CountChanged(models[CANDIDATE], config.top_k), beam.pvalue.AsSingleton(lowest))
            | "Sum" >> beam.CombinePerKey(sum)
        )
    _ = tally | "Write" >> beam.Map(
        write_results, beam.pvalue.AsDict(changed), config, dict(models), folder, time.time()
    )


def write_results(
    tally: Any,
    robustness: Mapping[str, np.ndarray],
    config: EvaluatorConfig,
    models: Mapping[str, str],
    folder: str,
    started: float,
) -> None:
    """Judges what was counted and writes it, for us and for TensorFlow Model Analysis.

    `started`: seconds since 1970, as another machine may have told the time then.
    """
    from components.evaluator.results import evaluate_tally
    from components.evaluator.tfma_files import write_tfma_files

    evaluation, misses = evaluate_tally(config, tally, robustness, time.time() - started)
    write_evaluation(evaluation, folder)
    write_requests(tally.samples, evaluation.classes, folder)
    write_tfma_files(evaluation, misses, config, folder, models)


def write_blessing(
    blessing: types.Artifact,
    *,
    blessed: bool,
    candidate: types.Artifact,
    champion: types.Artifact | None,
    component: str | None,
) -> None:
    """Says in a blessing artifact, with TFX's properties and file, what became of which model."""
    blessing.set_string_custom_property("current_model", candidate.uri)
    blessing.set_int_custom_property("current_model_id", candidate.id)
    if champion is not None:
        blessing.set_string_custom_property("baseline_model", champion.uri)
        blessing.set_int_custom_property("baseline_model_id", champion.id)
    if component:
        blessing.set_string_custom_property("component_id", component)
    blessing.set_int_custom_property("blessed", int(blessed))
    io_utils.write_string_file(os.path.join(blessing.uri, BLESSED if blessed else NOT_BLESSED), "")


def examples_files(artifacts: list[types.Artifact]) -> list[str]:
    """The files of the test split."""
    return sorted(
        os.path.join(folder, name)
        for folder in artifact_utils.get_split_uris(artifacts, SPLIT)
        for name in os.listdir(folder)
        if not name.startswith(".")
    )


class Evaluator(base_beam_component.BaseBeamComponent):
    """Outputs `evaluation` and `blessing`, of the types that TFX's Evaluator has."""

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        baseline_model: types.BaseChannel,
        config: EvaluatorConfig,
    ):
        super().__init__(
            spec=EvaluatorSpec(
                examples=examples,
                model=model,
                baseline_model=baseline_model,
                config=json.dumps(to_json(config), sort_keys=True),
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
