"""`create_pipeline`: the graph, from folders of images to a pushed model and its report."""

import json

from tfx.components import Trainer
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2
from tfx.types import standard_artifacts

from components.champion.component import Champion
from components.data_gate.component import DataGate
from components.evaluator.component import Evaluator
from components.example_validator.component import ExampleValidator
from components.image_example_gen.component import ImageExampleGen
from components.image_example_gen.storage import StorageError, open_bytes, why
from components.infra_validator.component import InfraValidator
from components.pusher.component import Pusher
from components.report.component import Report
from components.schema_gen.component import SchemaError, SchemaGen, parse_schema
from components.span_window.resolver import span_window
from components.statistics_gen.component import StatisticsGen
from components.transform.component import Transform
from components.tuner.component import Tuner
from pipeline.config import ConfigError, PipelineConfig
from transform.config import to_json

TRAINING = ("model", "augmentation", "transfer", "trainer")
"""Sections of the settings that a training depends on; `run_fn` and `tuner_fn` are given them."""
SET_BY_TRIALS = ("epochs", "patience", "monitor", "min_improvement", "restore_best", "schedule", "checkpoints")
"""Settings of `trainer` that have no influence on a search."""


def create_pipeline(config: PipelineConfig, cluster_root: str | None = None) -> Pipeline:
    """The whole pipeline; every runner, local or on a cluster, takes this one.

    Args:
      config: the pipeline's configuration.
      cluster_root: where a cluster that has its own metadata store keeps the artifacts; None keeps artifacts and
        metadata in the pipeline's folder.
    """
    custom_config = {name: to_json(getattr(config, name)) for name in ("transform", *TRAINING, "tuner")}
    custom_config["transfer"] = to_json(config.transfer.pinned())

    example_gen = ImageExampleGen(config.data)
    statistics_gen = StatisticsGen(example_gen.outputs["facts"])
    schema_gen = SchemaGen(statistics_gen.outputs["statistics"], accepted_schema(config))
    validator = ExampleValidator(statistics_gen.outputs["statistics"], schema_gen.outputs["schema"])
    gate = DataGate(
        config.gate,
        statistics_gen.outputs["statistics"],
        schema_gen.outputs["schema"],
        validator.outputs["anomalies"],
    )
    window = None
    if config.data.num_spans > 1:
        window = span_window(config.data.num_spans, example_gen.outputs["examples"], example_gen.outputs["facts"])
        window.add_upstream_node(gate)
    ingested = window or example_gen
    transform = Transform(ingested.outputs["examples"], ingested.outputs["facts"], config.transform)
    transform.add_upstream_node(gate)
    data = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
    }
    search = hyperparameter_source(config, data, for_trials(only(custom_config, "transform", *TRAINING, "tuner")))
    # Its driver looks at what is being served, so that a new champion makes a cached training start again.
    warm_start = (
        Champion(None, config.destination, required=False).with_id("WarmStart")
        if config.trainer.warm_start == "champion"
        else None
    )
    trainer = Trainer(
        run_fn="trainer_module.trainer.run_fn",
        **data,
        schema=schema_gen.outputs["schema"],
        hyperparameters=search[0].outputs[search[1]] if search else None,
        base_model=warm_start.outputs["champion"] if warm_start else None,
        train_args=trainer_pb2.TrainArgs(splits=["train"]),
        eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
        custom_config=only(custom_config, "transform", *TRAINING),
    )
    champion = Champion(trainer.outputs["model"], config.destination)
    # A test split of its own is the same in every span.
    tested = example_gen if config.data.test_path else ingested
    evaluator = Evaluator(
        tested.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=champion.outputs["champion"],
        config=config.evaluator,
    )
    infra_validator = (
        InfraValidator(
            model=trainer.outputs["model"],
            model_blessing=evaluator.outputs["blessing"],
            evaluation=evaluator.outputs["evaluation"],
            config=config.infra_validator,
            model_name=config.name,
        )
        if config.infra_validator.enabled
        else None
    )
    infra_blessing = infra_validator.outputs["blessing"] if infra_validator else None
    pusher = Pusher(
        model=trainer.outputs["model"],
        blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_blessing,
        evaluation=evaluator.outputs["evaluation"],
        champion=champion.outputs["champion"],
        config=config.pusher,
        destination=config.destination,
        pipeline=config.name,
    )
    report = Report(
        config=json.dumps(to_json(config), sort_keys=False),
        destination=config.destination,
        examples=ingested.outputs["examples"],
        statistics=statistics_gen.outputs["statistics"],
        schema=schema_gen.outputs["schema"],
        anomalies=validator.outputs["anomalies"],
        quarantine=example_gen.outputs["quarantine"],
        hyperparameters=search[0].outputs[search[1]] if search else None,
        tuner_results=search[0].outputs.get("tuner_results") if search else None,
        model=trainer.outputs["model"],
        model_run=trainer.outputs["model_run"],
        champion=champion.outputs["champion"],
        evaluation=evaluator.outputs["evaluation"],
        blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_blessing,
        pushed_model=pusher.outputs["pushed_model"],
    )
    components = [example_gen, statistics_gen, schema_gen, validator, gate]
    components += [window] if window else []
    components += [transform]
    components += [search[0]] if search else []
    components += [
        *([warm_start] if warm_start else []),
        trainer,
        champion,
        evaluator,
        *([infra_validator] if infra_validator else []),
        pusher,
        report,
    ]
    database = sqlite_metadata_connection_config(str(config.folder / "metadata.db"))
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(config.folder / "artifacts") if cluster_root is None else cluster_root,
        components=components,
        enable_cache=True,
        metadata_connection_config=database if cluster_root is None else None,
        beam_pipeline_args=config.beam.arguments,
    )


def hyperparameter_source(config: PipelineConfig, data: dict, custom_config: dict) -> tuple[BaseNode, str] | None:
    """The node and the name of its output that hyperparameters come from: a search, an earlier one, or none."""
    if config.tuner.enabled:
        tuner = Tuner(
            tuner_fn="trainer_module.tuner.tuner_fn",
            **data,
            train_args=trainer_pb2.TrainArgs(splits=["train"]),
            eval_args=trainer_pb2.EvalArgs(splits=["eval"]),
            custom_config=custom_config,
        )
        return tuner, "best_hyperparameters"
    if config.tuner.reuse:
        importer = Importer(config.tuner.reuse, standard_artifacts.HyperParameters).with_id("BestHyperparameters")
        return importer, "result"
    return None


def only(custom_config: dict, *names: str) -> dict:
    """The parts of the settings that a component depends on: a change elsewhere leaves it cached."""
    return {name: custom_config[name] for name in names}


def for_trials(custom_config: dict) -> dict:
    """Without what a trial sets by itself: a longer training is no reason to search again."""
    trainer = {name: value for name, value in custom_config["trainer"].items() if name not in SET_BY_TRIALS}
    return custom_config | {"trainer": trainer}


def accepted_schema(config: PipelineConfig) -> str:
    """The text of the schema that `gate.schema` names; "" when SchemaGen is to propose one.

    Raises:
      ConfigError: there is no such file in a folder or a store, or it is no schema of images.
    """
    if not config.gate.schema:
        return ""
    try:
        with open_bytes(config.gate.schema) as stream:
            text = stream.read().decode()
        parse_schema(text, config.gate.schema)
    except (SchemaError, StorageError) as error:
        raise ConfigError(f"gate.schema: {error}") from error
    except Exception as error:  # each file system has its own
        raise ConfigError(f"gate.schema: {config.gate.schema} cannot be read: {why(error)}.") from error
    return text
