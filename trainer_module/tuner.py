"""`tuner_fn`: what TFX's Tuner calls."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import keras_tuner
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from trainer_module import data, trainer, trials
from trainer_module.settings import TrainingSettings, read_settings
from trainer_module.tuner_config import Range, TunerConfig
from transform.config import from_json

log = logging.getLogger("tfx_vision.tuning")


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Builds the search; TFX runs it and keeps the best hyperparameters.

    Args:
      fn_args: TFX's arguments; `custom_config` holds the JSON forms of the sections of `TrainingSettings` and of
        `tuner`.

    Returns:
      The tuner, and the splits for its trials.
    """
    settings = read_settings(fn_args.custom_config)
    config = from_json(TunerConfig, fn_args.custom_config["tuner"])
    classes = len(trainer.class_names(tft.TFTransformOutput(fn_args.transform_graph_path)))
    journal = trials.Journal(journal_folder(fn_args.working_dir), {"data": fn_args.train_files + fn_args.eval_files})
    tuner = ImageTuner(config, settings, journal, directory=fn_args.working_dir)
    train = data.open_split(fn_args.train_files, settings.transform, classes)
    evaluation = data.open_split(fn_args.eval_files, settings.transform, classes)
    return TunerFnResult(tuner=tuner, fit_kwargs={"train": train, "evaluation": evaluation})


def journal_folder(working_dir: str) -> str:
    """Where finished trials are remembered: a folder that a later execution of the component has as well.

    TFX gives each execution ROOT/Tuner/.system/executor_execution/ID/.temp to work in; elsewhere, as on Kubeflow, the
    working folder goes with the step and there is nothing to resume.
    """
    for parent in Path(working_dir).parents:
        if parent.name == ".system":
            return str(parent / "trials")
    return str(Path(working_dir) / "trials")


def search_space(config: TunerConfig) -> keras_tuner.HyperParameters:
    """The values to search, named by key path."""
    space = keras_tuner.HyperParameters()
    for path, values in config.search.by_path().items():
        section, _, name = path.partition(".")
        whole = type(getattr(getattr(TrainingSettings(), section), name)) is int
        if not isinstance(values, Range):
            space.Choice(path, list(values))
        elif config.algorithm == "grid":
            space.Choice(path, grid_points(values, whole=whole))
        elif whole:
            space.Int(path, int(values.low), int(values.high), sampling=values.scale)
        else:
            space.Float(path, values.low, values.high, sampling=values.scale)
    return space


def grid_points(values: Range, *, whole: bool) -> list[float]:
    """Evenly spaced values of a range on its scale, both ends included."""
    share = [place / (values.steps - 1) for place in range(values.steps)]
    if values.scale == "log":
        points = [values.low * (values.high / values.low) ** part for part in share]
    else:
        points = [values.low + (values.high - values.low) * part for part in share]
    if whole:
        return sorted({round(point) for point in points})
    return [float(f"{point:.6g}") for point in points]


def build_oracle(config: TunerConfig) -> keras_tuner.Oracle:
    """The algorithm that draws the trials."""
    common = {
        "objective": keras_tuner.Objective("val_accuracy", "max"),
        "seed": config.seed,
        "hyperparameters": search_space(config),
        "allow_new_entries": False,
        "tune_new_entries": False,
    }
    if config.algorithm == "hyperband":
        oracle = keras_tuner.oracles.HyperbandOracle(max_epochs=config.epochs, **common)
        # TFX asks for the best `max_trials` trials, and Hyperband counts its own.
        oracle.max_trials = config.trials
        return oracle
    by_name = {
        "random": keras_tuner.oracles.RandomSearchOracle,
        "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
        "grid": keras_tuner.oracles.GridSearchOracle,
    }
    return by_name[config.algorithm](max_trials=config.trials, **common)


class ImageTuner(keras_tuner.Tuner):
    """KerasTuner's loop around a short training of ours.

    KerasTuner itself builds Keras 3 models and refuses those of Keras 2, so it only draws and compares. Its draws
    follow from the seed and the results, and results are in the journal: a search that was killed starts again, is
    told at once what it had found out, and goes on where it was.
    """

    def __init__(self, config: TunerConfig, settings: TrainingSettings, journal: trials.Journal, *, directory: str):
        self._config, self._settings, self._journal = config, settings, journal
        self._began = time.monotonic()
        self.table: list[dict[str, Any]] = []
        """The trials in the order they ran: trial_id, epochs, values by key path and `trials.Metrics`."""
        super().__init__(oracle=build_oracle(config), directory=directory, project_name="search", overwrite=True)
        self.oracle.verbose = 0

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[keras_tuner.HyperParameters]:
        """Without what Hyperband keeps among the values for itself."""
        best = super().get_best_hyperparameters(num_trials)
        for hyperparameters in best:
            own = {name: value for name, value in hyperparameters.values.items() if not name.startswith("tuner/")}
            hyperparameters.values = own
        return best

    def pre_create_trial(self) -> None:
        """Ends the search when its time is up."""
        minutes = (time.monotonic() - self._began) / 60
        if self._config.minutes and self.table and minutes >= self._config.minutes:
            log.info("the search ends after %.1f minutes with %d trials", minutes, len(self.table))
            self.oracle.max_trials = len(self.oracle.trials)

    def run_trial(self, trial: Any, train: data.Split, evaluation: data.Split) -> dict[str, float]:
        """Trains with the trial's values, or remembers it; returns what `trials.Metrics` lists."""
        drawn = trial.hyperparameters.values
        values = {name: value for name, value in drawn.items() if not name.startswith("tuner/")}
        epochs = drawn.get("tuner/epochs", self._config.epochs)
        number = len(self.oracle.trials)
        told = ", ".join(f"{name.partition('.')[2]} {_shown(value)}" for name, value in values.items())
        log.info("trial %d of %s: %s", number, self._most_trials(), told)
        identity = {"values": values, "epochs": epochs, "settings": self._dependencies()}
        metrics = self._journal.find(identity)
        if metrics:
            log.info("trial %d: remembered, val_accuracy %.4f", number, metrics["val_accuracy"])
        else:
            try:
                metrics = self._train(values, epochs, drawn, train, evaluation, f"trial {number}")
            except ValueError as error:
                log.warning("trial %d failed: %s", number, error)
                raise keras_tuner.errors.FailedTrialError(str(error)) from error
            self._journal.add(identity, metrics)
            log.info("trial %d: val_accuracy %.4f", number, metrics["val_accuracy"])
        self.table.append({"trial_id": trial.trial_id, "epochs": epochs, "values": values, "metrics": metrics})
        return {name: value for name, value in metrics.items() if value == value}

    def _train(
        self,
        values: dict[str, Any],
        epochs: int,
        drawn: dict[str, Any],
        train: data.Split,
        evaluation: data.Split,
        label: str,
    ) -> trials.Metrics:
        settings = trial_settings(self._settings, self._config, values, epochs)
        if self._config.folds > 1:
            return trials.cross_validation(settings, self._config, train, epochs=epochs, label=f"{label}, epoch")
        start, save = None, None
        if self._config.algorithm == "hyperband":
            behind = drawn["tuner/initial_epoch"]
            identity = {"values": values, "settings": self._dependencies()}
            start = (self._journal.weights({**identity, "epochs": behind}), behind) if behind else None
            save = self._journal.weights({**identity, "epochs": epochs})
        return trials.short_training(
            settings,
            self._config,
            train,
            evaluation,
            epochs=epochs,
            label=f"{label}, epoch",
            start=start,
            save_weights=save,
        )

    def _dependencies(self) -> dict[str, Any]:
        """What a trial's result depends on besides its values."""
        own = {name: getattr(self._config, name) for name in ("steps_per_epoch", "folds", "seed")}
        return own | self._settings.to_json()

    def _most_trials(self) -> str:
        return "the brackets" if self._config.algorithm == "hyperband" else str(self._config.trials)


def trial_settings(
    settings: TrainingSettings, config: TunerConfig, values: dict[str, Any], epochs: int
) -> TrainingSettings:
    """The training's settings with a trial's in their places; its rate is constant unless the schedule is searched."""
    trial: dict[str, Any] = {"trainer.epochs": epochs, "trainer.patience": 0, "trainer.seed": config.seed}
    if config.steps_per_epoch:
        trial["trainer.steps_per_epoch"] = config.steps_per_epoch
    return settings.with_values({"trainer.schedule": "constant"} | trial | values)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_table(tuner: ImageTuner, path: str) -> None:
    """Writes the table of trials as JSON, best first; what is not a number becomes null."""
    rows = sorted(tuner.table, key=lambda row: -row["metrics"]["val_accuracy"])
    for row in rows:
        row["metrics"] = {name: None if value != value else value for name, value in row["metrics"].items()}
    Path(path).write_text(json.dumps(rows, indent=1))
