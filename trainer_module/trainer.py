"""`run_fn`: what TFX's Trainer calls."""

import dataclasses
import json
import logging
import os
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from trainer_module import checkpoints, data, export, feeding
from trainer_module.config import TrainerConfig
from trainer_module.fitting import fit
from trainer_module.model_config import ModelConfig
from trainer_module.models import build_model
from trainer_module.optimizers import build_optimizer
from trainer_module.strategies import build_strategy
from transform import features
from transform.config import TransformConfig, from_json, to_json

log = logging.getLogger("tfx_vision.training")


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the `train` split, watches the `eval` split and writes the saved model.

    Args:
      fn_args: TFX's arguments; `custom_config` holds the JSON forms of `transform`, `model` and `trainer`, and
        `hyperparameters`, when a Tuner ran or one is reused, replaces their values.

    Writes the saved model to `serving_model_dir`, and `history.json`, `training.json` and TensorBoard's logs to
    `model_run_dir`. Started again after an interruption, it continues from its last checkpoint.
    """
    transform = from_json(TransformConfig, fn_args.custom_config["transform"])
    model_config = from_json(ModelConfig, fn_args.custom_config["model"])
    config = from_json(TrainerConfig, fn_args.custom_config["trainer"])
    model_config, config = with_hyperparameters(model_config, config, (fn_args.hyperparameters or {}).get("values", {}))

    transform_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    classes = class_names(transform_output)
    train = data.open_split(fn_args.train_files, transform, len(classes))
    evaluation = data.open_split(fn_args.eval_files, transform, len(classes))
    make_reproducible(config.seed)
    strategy = build_strategy(config.strategy)
    with strategy.scope():
        model = compiled_model(model_config, config, train)
    log.info(
        "training %s with %s parameters under %s", model.name, f"{model.count_params():,}", type(strategy).__name__
    )
    settings = {"model": to_json(model_config), "trainer": to_json(config)}
    identity = settings | {"transform": to_json(transform), "classes": classes, "data": data.fingerprint(train)}
    folder = checkpoints.folder_for(config.checkpoints, fn_args.model_run_dir, identity)
    history = fit(model, config, train, evaluation, folder=folder, log_dir=fn_args.model_run_dir)

    export.save(model, transform_output, transform, classes, fn_args.serving_model_dir)
    write_json(fn_args.model_run_dir, "history.json", history)
    write_json(fn_args.model_run_dir, "training.json", settings)
    checkpoints.remove(folder)


def with_hyperparameters(
    model: ModelConfig, trainer: TrainerConfig, values: dict[str, Any]
) -> tuple[ModelConfig, TrainerConfig]:
    """Settings with the Tuner's values in place of their own."""
    own = {field.name for field in dataclasses.fields(ModelConfig)}
    for_model = {name: value for name, value in values.items() if name in own}
    for_trainer = {name: value for name, value in values.items() if name not in own}
    return dataclasses.replace(model, **for_model), dataclasses.replace(trainer, **for_trainer)


def class_names(transform_output: tft.TFTransformOutput) -> list[str]:
    """The vocabulary, in the order of the class indices."""
    return [name.decode() for name in transform_output.vocabulary_by_name(features.VOCABULARY)]


def make_reproducible(seed: int) -> None:
    """Seeds everything random; layers draw from generators whose state a checkpoint can hold."""
    tf.keras.utils.set_random_seed(seed)
    tf.keras.backend.experimental.enable_tf_random_generator()


def compiled_model(
    model_config: ModelConfig, config: TrainerConfig, train: data.Split, epochs: int = 0
) -> tf.keras.Model:
    """The network with loss, metric and an optimizer whose schedule spans the training (or `epochs` of it)."""
    if config.mixed_precision:
        tf.keras.mixed_precision.set_global_policy("mixed_float16")
    moments = data.channel_moments(train) if train.transform.normalization == "standardize" else None
    model = build_model(model_config, config, train.transform, train.classes, moments)
    steps = feeding.steps_per_epoch(train, config) * config.epochs
    model.compile(
        optimizer=build_optimizer(config, steps),
        loss=tf.keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing),
        metrics=["accuracy"],
    )
    return model


def write_json(directory: str, name: str, value: Any) -> None:
    """Writes a JSON file, e.g. for the report."""
    tf.io.gfile.makedirs(directory)
    with tf.io.gfile.GFile(os.path.join(directory, name), "w") as file:
        file.write(json.dumps(value, indent=1))
