"""`tuner_fn`: what TFX's Tuner calls."""

import itertools
import json
import logging
import math
import time
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import keras_tuner
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs
from tfx.components.tuner.component import TunerFnResult

from trainer_module import data, trainer, trial_processes, trials
from trainer_module.settings import TrainingSettings, read_settings
from trainer_module.sweep import Sweep, range_test, suggested_rate
from trainer_module.sweep_plot import plot
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
        "grid": Grid,
    }
    return by_name[config.algorithm](max_trials=config.trials, **common)


class Grid(keras_tuner.Oracle):
    """Every combination in turn; KerasTuner's own draws none before the end of the one before."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The values of a trial by its number."""
        space = self.get_space().space
        combinations = itertools.product(*(choice.values for choice in space))
        values = next(itertools.islice(combinations, int(trial_id), None), None)
        if values is None:
            return {"status": "STOPPED"}
        names = (choice.name for choice in space)
        return {"status": "RUNNING", "values": dict(zip(names, values, strict=True))}


class ImageTuner(keras_tuner.Tuner):
    """KerasTuner's loop around a short training of ours.

    KerasTuner itself builds Keras 3 models and refuses those of Keras 2, so it only draws and compares. Its draws
    follow from the seed and the results, and results are in the journal: a search that was killed starts again, is
    told at once what it had found out, and goes on where it was.
    """

    def __init__(self, config: TunerConfig, settings: TrainingSettings, journal: trials.Journal, *, directory: str):
        self._config, self.settings, self._journal = config, settings, journal
        self._began = time.monotonic()
        self.table: list[dict[str, Any]] = []
        """The trials in the order they ran: trial_id, epochs, values by key path and `trials.Metrics`."""
        self.sweep: Sweep | None = None
        """Of the learning rate, where the settings ask for one."""
        super().__init__(oracle=build_oracle(config), directory=directory, project_name="search", overwrite=True)
        self.oracle.verbose = 0

    def get_best_hyperparameters(self, num_trials: int = 1) -> list[keras_tuner.HyperParameters]:
        """Without what Hyperband keeps among the values for itself."""
        best = super().get_best_hyperparameters(num_trials)
        for hyperparameters in best:
            own = {name: value for name, value in hyperparameters.values.items() if not name.startswith("tuner/")}
            hyperparameters.values = own
        return best

    def search(self, train: data.Split, evaluation: data.Split) -> None:
        """Draws trials and trains them, several at a time where there are processes for them."""
        if self._config.sweep_steps:
            self.sweep = range_test(self.settings, train, self._config.sweep_steps)
            log.info("learning-rate sweep: %.2g suits", suggested_rate(self.sweep))
        count = trial_processes.process_count(self._config)
        drawn: deque[tuple[Any, Future[trials.Metrics]]] = deque()
        with trial_processes.trial_processes(count, self._config, train, evaluation) as submit:
            while True:
                while self._may_draw(drawn, count) and (trial := self._draw()):
                    drawn.append((trial, self._begin(trial, submit)))
                if not drawn:
                    return
                self._wait(drawn)
                # In the order they were drawn, so that what depends on results does not depend on the clock.
                if drawn[0][1].done():
                    trial, result = drawn.popleft()
                    self._try_run_and_update_trial(trial, result)
                    self.on_trial_end(trial)

    @property
    def _draws_need_results(self) -> bool:
        return self._config.algorithm in ("bayesian", "hyperband")

    def _may_draw(self, drawn: Collection[tuple[Any, "Future[trials.Metrics]"]], count: int) -> bool:
        """Whether a process is free, and what its trial's values depend on is the same in each search."""
        return sum(self._draws_need_results or not result.done() for _, result in drawn) < count

    def _wait(self, drawn: Sequence[tuple[Any, "Future[trials.Metrics]"]]) -> None:
        results = [result for _, result in drawn]
        wait(results[:1] if self._draws_need_results else results, return_when=FIRST_COMPLETED)

    def _draw(self) -> Any:
        """The next trial; None when there is none, or none before another one's result."""
        minutes = (time.monotonic() - self._began) / 60
        count = len(self.oracle.trials)
        if self._config.minutes and count and minutes >= self._config.minutes:
            log.info("the search ends after %.1f minutes with %d trials", minutes, count)
            self.oracle.max_trials = count
        trial = self.oracle.create_trial(f"{self.tuner_id}-{count}")
        return trial if trial.status == "RUNNING" else None

    def _begin(self, trial: Any, submit: trial_processes.Submit) -> "Future[trials.Metrics]":
        """Trains with the trial's values, or remembers it."""
        number, values, epochs = int(trial.trial_id) + 1, values_of(trial), self._epochs(trial)
        told = ", ".join(f"{name.partition('.')[2]} {_shown(value)}" for name, value in values.items())
        log.info("trial %d of %s: %s", number, self._most_trials(), told)
        remembered = self._journal.find(self._identity(values, epochs))
        if remembered:
            log.info("trial %d: remembered, val_accuracy %.4f", number, remembered["val_accuracy"])
            result: Future[trials.Metrics] = Future()
            result.set_result(remembered)
            return result
        start, save = None, None
        if self._config.algorithm == "hyperband":
            behind = trial.hyperparameters.values["tuner/initial_epoch"]
            start = (self._journal.weights(self._identity(values, behind)), behind) if behind else None
            save = self._journal.weights(self._identity(values, epochs))
        job = trials.Job(
            settings=self.settings,
            values=values,
            epochs=epochs,
            label=f"trial {number}",
            start=start,
            save_weights=save,
        )
        result = submit(job)
        result.add_done_callback(lambda done: self._note(number, self._identity(values, epochs), done))
        return result

    def _note(self, number: int, identity: dict[str, Any], result: "Future[trials.Metrics]") -> None:
        """Remembers a trial as soon as it is trained."""
        if result.cancelled() or isinstance(result.exception(), BrokenProcessPool):
            return
        if error := result.exception():
            log.warning("trial %d failed: %s", number, error)
            return
        self._journal.add(identity, result.result())
        log.info("trial %d: val_accuracy %.4f", number, result.result()["val_accuracy"])

    def run_trial(self, trial: Any, result: "Future[trials.Metrics]") -> dict[str, float]:
        """What `trials.Metrics` lists, of a trial that has been trained."""
        try:
            metrics = result.result()
        except ValueError as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error
        except BrokenProcessPool as error:
            raise keras_tuner.errors.FatalRuntimeError(
                "a process that trained a trial was killed, perhaps for want of memory; finished trials are kept, so "
                "run again with a lower tuner.parallel_trials"
            ) from error
        row = {"trial_id": trial.trial_id, "epochs": self._epochs(trial), "values": values_of(trial)}
        self.table.append(row | {"metrics": metrics})
        return {name: value for name, value in metrics.items() if value == value}

    def _epochs(self, trial: Any) -> int:
        return trial.hyperparameters.values.get("tuner/epochs", self._config.epochs)

    def _identity(self, values: dict[str, Any], epochs: int) -> dict[str, Any]:
        """What a trial's result depends on."""
        own = {name: getattr(self._config, name) for name in ("steps_per_epoch", "folds", "seed")}
        return {"values": values, "epochs": epochs, "settings": own | self.settings.to_json()}

    def _most_trials(self) -> str:
        return "the brackets" if self._config.algorithm == "hyperband" else str(self._config.trials)


def values_of(trial: Any) -> dict[str, Any]:
    """A trial's values by key path, without what Hyperband keeps among them for itself."""
    return {name: value for name, value in trial.hyperparameters.values.items() if not name.startswith("tuner/")}


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_table(tuner: ImageTuner, path: str) -> None:
    """Writes the table of trials as JSON, best first; what is not a number becomes null."""
    rows = sorted(tuner.table, key=lambda row: -row["metrics"]["val_accuracy"])
    for row in rows:
        row["metrics"] = {name: None if value != value else value for name, value in row["metrics"].items()}
    Path(path).write_text(json.dumps(rows, indent=1))


def write_sweep(tuner: ImageTuner, path: str) -> None:
    """Writes the learning-rate sweep as JSON, with its plot as SVG; no file without a sweep."""
    if tuner.sweep is None:
        return
    rate = suggested_rate(tuner.sweep)
    text = plot(tuner.sweep, rate, tuner.settings.trainer.learning_rate)
    losses = [loss if math.isfinite(loss) else None for loss in tuner.sweep.losses]
    contents = {"suggested": rate, "rates": list(tuner.sweep.rates), "losses": losses, "plot": text}
    Path(path).write_text(json.dumps(contents), encoding="utf-8")
