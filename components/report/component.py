"""The component and its executor, which gathers what the page shows."""

import json
import logging
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import yaml
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact, artifact_utils, component_spec, standard_artifacts
from tfx.utils import io_utils

from components.champion.component import served_version_of
from components.data_gate.checks import find_anomalies
from components.data_gate.statistics import (
    Statistics,
    by_class,
    class_counts,
    feature_statistics,
    load_anomalies,
    load_statistics,
)
from components.evaluator.evaluation import read_evaluation
from components.image_example_gen.component import Quarantine
from components.report import records
from components.report.contents import Artifact, Contents, Outcome, Pixels, Push, Sizes, SplitContents, natural
from components.report.page import PAGE, render
from serving.versions import history
from trainer_module.tuner_config import TRIALS
from transform import features

log = logging.getLogger("tfx_vision.Report")

SAMPLE_SIDE, MISTAKE_SIDE = 56, 112
"""Longer side of the pictures, in CSS pixels."""
SAMPLES, SAMPLED_CLASSES = 360, 100
"""Pictures of samples on the page, about, and of how many classes."""
PACKAGES = [
    "tfx",
    "tensorflow",
    "tf-keras",
    "keras-tuner",
    "tensorflow-transform",
    "tensorflow-data-validation",
    "tensorflow-model-analysis",
    "apache-beam",
    "ml-metadata",
    "numpy",
    "pillow",
]


class ReportArtifact(artifact.Artifact):
    """A folder with `index.html`."""

    TYPE_NAME = "Report"


class ReportSpec(component_spec.ComponentSpec):
    """Types of the component."""

    PARAMETERS = {
        "config": component_spec.ExecutionParameter(type=str),
        "producers": component_spec.ExecutionParameter(type=str),
        "destination": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "anomalies": component_spec.ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        "quarantine": component_spec.ChannelParameter(type=Quarantine),
        "hyperparameters": component_spec.ChannelParameter(type=standard_artifacts.HyperParameters, optional=True),
        "tuner_results": component_spec.ChannelParameter(type=standard_artifacts.TunerResults, optional=True),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
        "champion": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing, optional=True),
        "pushed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel),
    }
    OUTPUTS = {"report": component_spec.ChannelParameter(type=ReportArtifact)}


class Executor(base_executor.BaseExecutor):
    """Writes the page."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        config = json.loads(exec_properties["config"])
        producers = json.loads(exec_properties["producers"])
        run = self._context.pipeline_run_id if self._context else ""
        contents = gather(input_dict, config, producers, run, exec_properties["destination"])
        folder = artifact_utils.get_single_uri(output_dict["report"])
        io_utils.write_string_file(os.path.join(folder, PAGE), render(contents))


def gather(
    inputs: Mapping[str, list[types.Artifact]],
    config: Mapping[str, Any],
    producers: Mapping[str, Any],
    run: str,
    destination: str,
) -> Contents:
    """Everything the page shows, from the artifacts of one run."""
    evaluation = read_evaluation(artifact_utils.get_single_uri(inputs["evaluation"]))
    wrong = records.Wanted({mistake.content_hash for mistake in evaluation.mistakes})
    splits = gather_splits(inputs, wrong)
    model_run = artifact_utils.get_single_uri(inputs["model_run"])
    return Contents(
        name=config["name"],
        run=run,
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
        evaluation=evaluation,
        outcome=gather_outcome(inputs, config),
        spans=sorted(artifact.span for artifact in inputs["examples"]),
        splits=splits,
        input_size=(config["transform"]["width"], config["transform"]["height"]),
        schema=describe_schema(artifact_utils.get_single_uri(inputs["schema"])),
        history=read_json(os.path.join(model_run, "history.json")),
        training=read_json(os.path.join(model_run, "training.json")),
        hyperparameters=read_only_json(inputs.get("hyperparameters"), {}).get("values", {}),
        trials=read_trials(inputs.get("tuner_results")),
        mistakes=wrong.pictures(MISTAKE_SIDE),
        lineage=[
            Artifact(producer=producers[key][0], output=producers[key][1], type=one.type_name, id=one.id, uri=one.uri)
            for key in ReportSpec.INPUTS
            for one in inputs.get(key, [])
        ],
        versions={"python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES},
        configuration=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True, width=100),
        pushes=gather_pushes(destination),
        folders={key: artifacts[0].uri for key, artifacts in inputs.items() if len(artifacts) == 1},
    )


def gather_splits(inputs: Mapping[str, list[types.Artifact]], wrong: records.Wanted) -> dict[str, SplitContents]:
    """Each split's statistics, anomalies and a few pictures, of the newest span; of the test splits also those that are
    wanted.
    """
    *earlier, newest = sorted(inputs["examples"], key=lambda artifact: artifact.span)
    for span in earlier:
        for batch in records.read_split(artifact_utils.get_split_uri([span], "test")):
            wrong.add(batch)
    statistics = load_statistics(artifact_utils.get_single_instance(inputs["statistics"]))
    anomalies = load_anomalies(artifact_utils.get_single_instance(inputs["anomalies"]))
    classes = sorted({name for proto in statistics.values() for name in class_counts(proto)}, key=natural)[
        :SAMPLED_CLASSES
    ]
    samples = min(max(SAMPLES // (len(classes) * len(features.SPLITS)), 1), 8)
    splits = {}
    for split in features.SPLITS:
        counts = class_counts(statistics[split])
        found = records.survey(
            artifact_utils.get_split_uri([newest], split),
            split,
            sum(counts.values()),
            classes=classes,
            samples=samples,
            wanted=wrong if split == "test" else None,
        )
        splits[split] = SplitContents(
            counts=counts,
            sizes=Sizes(
                width=spread(statistics[split], features.WIDTH), height=spread(statistics[split], features.HEIGHT)
            ),
            kinds=dict(found.kinds.most_common()),
            extents=found.extents,
            samples=found.pictures(SAMPLE_SIDE),
            anomalies=find_anomalies({split: anomalies[split]}),
            pixels=gather_pixels(statistics[split]),
        )
    return splits


def gather_outcome(inputs: Mapping[str, list[types.Artifact]], config: Mapping[str, Any]) -> Outcome:
    """What the evaluation was measured by, and what the Pusher made of it."""
    pushed = artifact_utils.get_single_instance(inputs["pushed_model"])
    return Outcome(
        threshold=config["evaluator"]["min_accuracy"],
        class_threshold=config["evaluator"]["min_class_accuracy"],
        champion_version=served_version_of(artifact_utils.get_single_instance(inputs["champion"])),
        pushed_version=pushed.get_string_custom_property("pushed_version") or None,
        destination=pushed.get_string_custom_property("pushed_destination") or None,
    )


def gather_pushes(destination: str) -> list[Push]:
    """The destination's history; none where it cannot be read from here."""
    try:
        versions = history(destination)
    except (OSError, ValueError) as error:
        log.warning("the history of %s is not in the report: %s", destination, error)
        return []
    pushes = []
    for one in versions:
        manifest, withdrawal = one.manifest, one.withdrawal
        pushes.append(
            Push(
                destination=destination,
                version=one.number,
                label=one.label,
                pushed_at=manifest.pushed_at[:16].replace("T", " ") if manifest else "",
                by=manifest.by if manifest else "",
                why=manifest.why if manifest else "",
                accuracy=manifest.metrics.get("accuracy") if manifest else None,
                champion=manifest.champion if manifest else None,
                withdrawn=(withdrawal.why or f"rolled back to version {withdrawal.instead}") if withdrawal else "",
            )
        )
    return pushes


def spread(statistics: Statistics, name: str) -> tuple[int, int, int]:
    """Lowest, median and highest value of a feature."""
    if feature := feature_statistics(statistics, name):
        numbers = feature.num_stats
        return round(numbers.min), round(numbers.median), round(numbers.max)
    return 0, 0, 0


def gather_pixels(statistics: Statistics) -> dict[str, Pixels]:
    """What was measured, by class."""
    measured = {}
    for label, of_class in by_class(statistics).items():
        if features.BRIGHTNESS in of_class:
            brightness, contrast, sharpness, red, green, blue = (
                of_class[name].num_stats.median for name in features.PIXEL_FACTS
            )
            measured[label] = Pixels(
                measured=of_class[features.BRIGHTNESS].num_stats.common_stats.num_non_missing,
                brightness=brightness,
                contrast=contrast,
                sharpness=sharpness,
                channels=(red, green, blue),
            )
    return measured


def describe_schema(folder: str) -> list[tuple[str, str, str]]:
    """(feature, type, what is demanded of it)."""
    schema = io_utils.parse_pbtxt_file(io_utils.get_only_uri_in_dir(folder), schema_pb2.Schema())
    domains = {domain.name: len(domain.value) for domain in schema.string_domain}
    rows = []
    for feature in sorted(schema.feature, key=lambda feature: feature.name):
        demands = ["in every example"] if feature.presence.min_fraction == 1 else []
        if feature.domain in domains:
            demands.append(f"one of {domains[feature.domain]} values")
        rows.append((feature.name, schema_pb2.FeatureType.Name(feature.type).lower(), ", ".join(demands)))
    return rows


def read_only_json(artifacts: list[types.Artifact] | None, default: Any) -> Any:
    """The JSON in the only file of an artifact; `default` when there is no artifact."""
    if not artifacts:
        return default
    return read_json(io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(artifacts)))


def read_trials(results: list[types.Artifact] | None) -> Any:
    """The Tuner's table of trials, best first; [] when no search ran."""
    return read_json(os.path.join(artifact_utils.get_single_uri(results), TRIALS)) if results else []


def read_json(path: str) -> Any:
    """A JSON file."""
    return json.loads(io_utils.read_string_file(path))


class Report(base_component.BaseComponent):
    """Output `report`, a folder with `index.html`. `config` is the JSON of the pipeline's configuration."""

    SPEC_CLASS = ReportSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, config: str, destination: str, **inputs: types.BaseChannel | None):
        given = {key: channel for key, channel in inputs.items() if channel is not None}
        # The artifacts do not know who made them; the channels do.
        producers = {key: [channel.producer_component_id, channel.output_key] for key, channel in given.items()}
        super().__init__(
            spec=ReportSpec(
                config=config,
                destination=destination,
                producers=json.dumps(producers, sort_keys=True),
                report=types.Channel(type=ReportArtifact),
                **given,
            )
        )
