"""`run_fn`: what TFX's Trainer calls."""

import json
import logging
import os
from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tensorflow_transform as tft

from trainer_module import checkpoints, data, diagnostics, export, parameter_server, saving
from trainer_module.compilation import compiled_model, make_reproducible
from trainer_module.fitting import fit
from trainer_module.model_card import write_extras
from trainer_module.settings import TrainingSettings, read_settings
from trainer_module.strategies import (
    build_strategy,
    global_batch_size,
    is_chief,
    name_of,
    wait_for_chief,
    written_by_chief,
)
from trainer_module.transfer import save_backbone
from trainer_module.warm_start import identity_of, warm_start
from transform import features

if TYPE_CHECKING:
    from tfx.components.trainer.fn_args_utils import FnArgs

log = logging.getLogger("tfx_vision.training")


def run_fn(fn_args: "FnArgs") -> None:
    """Trains on the `train` split, watches the `eval` split and writes the saved model.

    Args:
      fn_args: TFX's arguments; `custom_config` holds the JSON forms of the sections of `TrainingSettings`, and
        `hyperparameters`, when a Tuner ran or one is reused, replaces their values.

    Writes the saved model to `serving_model_dir`, and `history.json`, `diagnostics.json`, `training.json` and
    TensorBoard's logs to `model_run_dir`. Started again after an interruption, it continues from its last checkpoint.
    """
    settings = read_settings(fn_args.custom_config).with_values((fn_args.hyperparameters or {}).get("values", {}))
    transform, config = settings.transform, settings.trainer
    if parameter_server.serves(config.strategy):
        parameter_server.serve()
        return

    make_reproducible(config.seed)
    # Before TensorFlow does anything else: several workers have to find one another first.
    strategy = build_strategy(config.strategy)
    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    classes = class_names(transform_output)
    train = data.open_split(fn_args.train_files, transform, len(classes))
    evaluation = data.open_split(fn_args.eval_files, transform, len(classes))
    settings = with_global_batch(settings, strategy)
    with strategy.scope():
        model = compiled_model(settings, train)
        warm_start(model, fn_args.base_model, classes)
    log.info(
        "training %s with %s parameters under %s, %d replicas of %d images a step",
        model.name,
        f"{model.count_params():,}",
        name_of(strategy),
        strategy.num_replicas_in_sync,
        settings.trainer.batch_size // strategy.num_replicas_in_sync,
    )
    begins_with = {
        "classes": classes,
        "data": data.fingerprint(train, evaluation),
        "weights": identity_of(fn_args.base_model),
    }
    folder = checkpoints.folder_for(config.checkpoints, fn_args.model_run_dir, what_counts(settings) | begins_with)
    with written_by_chief(strategy, fn_args.serving_model_dir, fn_args.model_run_dir) as (model_folder, run_folder):
        outcome = fit(model, settings, train, evaluation, folder=folder, log_dir=run_folder)
        save_backbone(model, run_folder)
        saving.save(model, os.path.join(run_folder, "network"))
        export.save(model, transform_output, transform, classes, model_folder)
        write_extras(model_folder, settings, train, evaluation, classes, outcome)
        write_json(run_folder, "history.json", outcome.history)
        write_json(run_folder, "diagnostics.json", diagnostics.as_json(outcome))
        write_json(run_folder, "training.json", settings.to_json())
    if is_chief(strategy):
        checkpoints.remove(folder)
    wait_for_chief(strategy)


def class_names(transform_output: tft.TFTransformOutput) -> list[str]:
    """The vocabulary, in the order of the class indices."""
    return [name.decode() for name in transform_output.vocabulary_by_name(features.VOCABULARY)]


def with_global_batch(settings: TrainingSettings, strategy: tf.distribute.Strategy) -> TrainingSettings:
    """The settings with `batch_size` over all replicas, whatever it counted before."""
    size = global_batch_size(settings.trainer, strategy)
    return settings.with_values({"trainer.batch_size": size, "trainer.batch_size_is": "global"})


def what_counts(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that the weights depend on: not how they are saved, nor where pixels are kept."""
    sections = settings.to_json()
    return sections | {
        "trainer": {name: value for name, value in sections["trainer"].items() if name not in ("checkpoints", "feeder")}
    }


def write_json(directory: str, name: str, value: Any) -> None:
    """Writes a JSON file, e.g. for the report."""
    tf.io.gfile.makedirs(directory)
    with tf.io.gfile.GFile(os.path.join(directory, name), "w") as file:
        file.write(json.dumps(value, indent=1))
