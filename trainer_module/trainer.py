"""`run_fn`: what TFX's Trainer calls."""

import json
import logging
import os
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer_module import checkpoints, data, diagnostics, export
from trainer_module.compilation import compiled_model
from trainer_module.fitting import fit
from trainer_module.settings import read_settings
from trainer_module.strategies import build_strategy
from trainer_module.transfer import save_backbone
from transform import features

log = logging.getLogger("tfx_vision.training")


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the `train` split, watches the `eval` split and writes the saved model.

    Args:
      fn_args: TFX's arguments; `custom_config` holds the JSON forms of the sections of `TrainingSettings`, and
        `hyperparameters`, when a Tuner ran or one is reused, replaces their values.

    Writes the saved model to `serving_model_dir`, and `history.json`, `diagnostics.json`, `training.json` and
    TensorBoard's logs to `model_run_dir`. Started again after an interruption, it continues from its last checkpoint.
    """
    settings = read_settings(fn_args.custom_config).with_values((fn_args.hyperparameters or {}).get("values", {}))
    transform, config = settings.transform, settings.trainer

    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    classes = class_names(transform_output)
    train = data.open_split(fn_args.train_files, transform, len(classes))
    evaluation = data.open_split(fn_args.eval_files, transform, len(classes))
    make_reproducible(config.seed)
    strategy = build_strategy(config.strategy)
    with strategy.scope():
        model = compiled_model(settings, train)
    log.info(
        "training %s with %s parameters under %s", model.name, f"{model.count_params():,}", type(strategy).__name__
    )
    identity = settings.to_json() | {"classes": classes, "data": data.fingerprint(train, evaluation)}
    folder = checkpoints.folder_for(config.checkpoints, fn_args.model_run_dir, identity)
    outcome = fit(model, settings, train, evaluation, folder=folder, log_dir=fn_args.model_run_dir)

    save_backbone(model, fn_args.model_run_dir)
    export.save(model, transform_output, transform, classes, fn_args.serving_model_dir)
    write_json(fn_args.model_run_dir, "history.json", outcome.history)
    write_json(fn_args.model_run_dir, "diagnostics.json", diagnostics.as_json(outcome))
    write_json(fn_args.model_run_dir, "training.json", settings.to_json())
    checkpoints.remove(folder)


def class_names(transform_output: tft.TFTransformOutput) -> list[str]:
    """The vocabulary, in the order of the class indices."""
    return [name.decode() for name in transform_output.vocabulary_by_name(features.VOCABULARY)]


def make_reproducible(seed: int) -> None:
    """Seeds everything random; layers draw from generators whose state a checkpoint can hold."""
    tf.keras.utils.set_random_seed(seed)
    tf.keras.backend.experimental.enable_tf_random_generator()


def write_json(directory: str, name: str, value: Any) -> None:
    """Writes a JSON file, e.g. for the report."""
    tf.io.gfile.makedirs(directory)
    with tf.io.gfile.GFile(os.path.join(directory, name), "w") as file:
        file.write(json.dumps(value, indent=1))
