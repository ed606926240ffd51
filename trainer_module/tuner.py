"""`tuner_fn`: what TFX's Tuner calls."""

import dataclasses
import logging
from typing import Any

import keras_tuner
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from trainer_module import data, feeding, trainer
from trainer_module.callbacks import Progress
from trainer_module.config import TrainerConfig
from trainer_module.model_config import ModelConfig
from trainer_module.tuner_config import TunerConfig
from transform.config import TransformConfig, from_json

log = logging.getLogger("tfx_vision.tuning")


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Builds the search; TFX runs it and keeps the best hyperparameters.

    Args:
      fn_args: TFX's arguments; `custom_config` holds the JSON forms of `transform`, `model` and `tuner`.

    Returns:
      The tuner, and the splits for its trials.
    """
    transform = from_json(TransformConfig, fn_args.custom_config["transform"])
    model = from_json(ModelConfig, fn_args.custom_config["model"])
    config = from_json(TunerConfig, fn_args.custom_config["tuner"])
    classes = len(trainer.class_names(tft.TFTransformOutput(fn_args.transform_graph_path)))
    tuner = ImageTuner(config, model, directory=fn_args.working_dir)
    train = data.open_split(fn_args.train_files, transform, classes)
    evaluation = data.open_split(fn_args.eval_files, transform, classes)
    return TunerFnResult(tuner=tuner, fit_kwargs={"train": train, "evaluation": evaluation})


def search_space(config: TunerConfig) -> keras_tuner.HyperParameters:
    """The values to search, in the handbook's order of influence."""
    space = keras_tuner.HyperParameters()
    for field in dataclasses.fields(config.search):
        if values := getattr(config.search, field.name):
            space.Choice(field.name, list(values))
    return space


def build_oracle(config: TunerConfig) -> keras_tuner.Oracle:
    """The algorithm that draws the trials."""
    by_name = {
        "random": keras_tuner.oracles.RandomSearchOracle,
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
        "grid": keras_tuner.oracles.GridSearchOracle,
    }
    return by_name[config.algorithm](
        objective=keras_tuner.Objective("val_accuracy", "max"),
        max_trials=config.trials,
        seed=config.seed,
        hyperparameters=search_space(config),
        allow_new_entries=False,
        tune_new_entries=False,
    )


class ImageTuner(keras_tuner.Tuner):
    """KerasTuner's loop around a short training of ours.

    KerasTuner itself builds Keras 3 models and refuses those of Keras 2, so it only draws and compares.
    """

    def __init__(self, config: TunerConfig, model: ModelConfig, *, directory: str):
        self._config, self._model = config, model
        super().__init__(oracle=build_oracle(config), directory=directory, project_name="search", overwrite=False)

    def run_trial(self, trial: Any, train: data.Split, evaluation: data.Split) -> dict[str, float]:
        """Trains with the trial's values; returns val_accuracy and val_loss of its best epoch."""
        values = trial.hyperparameters.values
        number = len(self.oracle.trials)
        log.info("trial %d of %d: %s", number, self._config.trials, ", ".join(f"{k} {v}" for k, v in values.items()))
        defaults = TrainerConfig(epochs=self._config.epochs, patience=0, schedule="constant", seed=self._config.seed)
        model_config, config = trainer.with_hyperparameters(self._model, defaults, values)
        tf.keras.backend.clear_session()
        tf.keras.utils.set_random_seed(self._config.seed)
        model = trainer.compiled_model(model_config, config, train)
        steps = self._config.steps_per_epoch or feeding.steps_per_epoch(train, config)
        history = model.fit(
            feeding.feed(train, config.batch_size, seed=config.seed),
            validation_data=feeding.feed(evaluation, 256),
            epochs=config.epochs,
            steps_per_epoch=steps,
            callbacks=[
                Progress(epochs=config.epochs, steps=steps, label=f"trial {number} of {self._config.trials}, epoch"),
                tf.keras.callbacks.TerminateOnNaN(),
            ],
            verbose=0,
        ).history
        best = max(range(len(history["val_accuracy"])), key=lambda epoch: history["val_accuracy"][epoch])
        log.info("trial %d of %d: val_accuracy %.4f", number, self._config.trials, history["val_accuracy"][best])
        return {"val_accuracy": history["val_accuracy"][best], "val_loss": history["val_loss"][best]}
