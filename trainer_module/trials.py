"""Short trainings for a search, each remembered on disk so that a search that was killed loses none."""

import dataclasses
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from trainer_module import data, feeding, order
from trainer_module.batches import batch_changes, training_batches
from trainer_module.callbacks import Progress
from trainer_module.compilation import compiled_model, make_reproducible
from trainer_module.settings import TrainingSettings
from trainer_module.tuner_config import TunerConfig

log = logging.getLogger("tfx_vision.tuning")

Metrics = dict[str, float]
"""val_accuracy, val_precision, val_recall, val_f1 (means over the classes), val_loss, rate_of_change, seconds."""

EVALUATION_BATCH = 256


class Journal:
    """Finished trials by what they depend on: the same values under the same settings are trained once."""

    def __init__(self, folder: str, depends_on: Mapping[str, Any]):
        self._folder = Path(folder)
        self._depends_on = depends_on

    def _path(self, values: Mapping[str, Any], suffix: str) -> Path:
        identity = json.dumps([self._depends_on, values], sort_keys=True)
        return self._folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}{suffix}"

    def find(self, values: Mapping[str, Any]) -> Metrics | None:
        """What the trial with these values came to, None when it has not finished."""
        path = self._path(values, ".json")
        return json.loads(path.read_text()) if path.exists() else None

    def add(self, values: Mapping[str, Any], metrics: Metrics) -> None:
        """Remembers a trial, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(values, ".json")
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(metrics))
        partial.replace(path)

    def weights(self, values: Mapping[str, Any]) -> str:
        """Where the weights of a trial are kept that may be trained further."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return str(self._path(values, ".weights.h5"))


@dataclass(frozen=True, kw_only=True)
class Job:
    """A trial to be trained."""

    settings: TrainingSettings
    """Of the search's training."""
    values: Mapping[str, Any]
    """Of the trial, by key path."""
    epochs: int
    """Number of the last epoch."""
    label: str
    """Names the trial in the log."""
    start: tuple[str, int] | None = None
    """Weights to go on from and the epochs they have behind them."""
    save_weights: str | None = None
    """Where to keep the weights for going on later."""


def run(job: Job, config: TunerConfig, train: data.Split, evaluation: data.Split) -> Metrics:
    """Trains and measures.

    Raises:
      ValueError: the trial's values do not go together, or with the images.
    """
    settings = trial_settings(job.settings, config, job.values, job.epochs)
    label = f"{job.label}, epoch"
    if config.folds > 1:
        return cross_validation(settings, config, train, epochs=job.epochs, label=label)
    return short_training(
        settings,
        config,
        train,
        evaluation,
        epochs=job.epochs,
        label=label,
        start=job.start,
        save_weights=job.save_weights,
    )


def trial_settings(
    settings: TrainingSettings, config: TunerConfig, values: Mapping[str, Any], epochs: int
) -> TrainingSettings:
    """The training's settings with a trial's in their places; its rate is constant unless the schedule is searched."""
    trial: dict[str, Any] = {"trainer.epochs": epochs, "trainer.patience": 0, "trainer.seed": config.seed}
    if config.steps_per_epoch:
        trial["trainer.steps_per_epoch"] = config.steps_per_epoch
    return settings.with_values({"trainer.schedule": "constant"} | trial | dict(values))


def short_training(
    settings: TrainingSettings,
    config: TunerConfig,
    train: data.Split,
    evaluation: data.Split,
    *,
    epochs: int,
    label: str,
    start: tuple[str, int] | None = None,
    save_weights: str | None = None,
) -> Metrics:
    """Trains and measures on the evaluation split when it ends.

    Args:
      settings: of the training, the trial's values in place.
      config: of the search.
      train: the split to train on.
      evaluation: the split to measure on.
      epochs: number of the last epoch.
      label: names the trial in the log.
      start: weights to go on from and the epochs they have behind them.
      save_weights: where to keep the weights for going on later.
    """
    model = _fresh_model(settings, config, train)
    first = 0
    if start and os.path.exists(start[0]):
        model.load_weights(start[0])
        first = start[1]
    own = settings.trainer
    steps = feeding.steps_per_epoch(train, own)
    batches = training_batches(settings, train, first_step=first * steps, last_epoch=epochs)
    watched = feeding.feed(evaluation, EVALUATION_BATCH, feeder=own.feeder)
    metrics = _fit(model, batches, watched, (first, epochs, steps), label)
    if save_weights:
        model.save_weights(save_weights)
    return metrics


def cross_validation(
    settings: TrainingSettings, config: TunerConfig, train: data.Split, *, epochs: int, label: str
) -> Metrics:
    """The mean over stratified folds of the training split, each held out once; for sets that fit into memory."""
    from sklearn.model_selection import StratifiedKFold

    own, results = settings.trainer, []
    fetch = feeding.open_pixels(train, feeding.Plan(feeder="memory"))
    folds = StratifiedKFold(config.folds, shuffle=True, random_state=config.seed)
    for number, (kept, held_out) in enumerate(folds.split(train.labels, train.labels), 1):
        part = dataclasses.replace(train, labels=train.labels[kept])
        shuffled = order.shuffled(part.labels, own.batch_size, own.seed, stratified=own.stratified)
        steps = feeding.steps_per_epoch(part, own)
        changes = batch_changes(settings, part)
        numbers = tf.data.Dataset.range(epochs * steps)
        batches = feeding.batches(numbers, _among(kept, shuffled), fetch, train, changes)
        held = dataclasses.replace(train, labels=train.labels[held_out])
        once = tf.data.Dataset.range(-(-held.size // EVALUATION_BATCH))
        watched = feeding.batches(
            once, _among(held_out, order.sequence(held.size, EVALUATION_BATCH)), fetch, train, None
        )
        model = _fresh_model(settings, config, train)
        results.append(_fit(model, batches, watched, (0, epochs, steps), f"{label}, fold {number}"))
    means = {name: float(np.mean([result[name] for result in results])) for name in results[0]}
    return means | {"seconds": sum(result["seconds"] for result in results)}


def _among(images: np.ndarray, within: order.Order) -> order.Order:
    """An order of some of the images, given one of as many."""
    return lambda step: images[within(step)]


def _fresh_model(settings: TrainingSettings, config: TunerConfig, train: data.Split) -> tf.keras.Model:
    tf.keras.backend.clear_session()
    make_reproducible(config.seed)
    return compiled_model(settings, train)


def _fit(
    model: tf.keras.Model,
    batches: tf.data.Dataset,
    evaluation: tf.data.Dataset,
    schedule: tuple[int, int, int],
    label: str,
) -> Metrics:
    first, epochs, steps = schedule
    began = time.monotonic()
    history = model.fit(
        batches,
        validation_data=evaluation,
        initial_epoch=first,
        epochs=epochs,
        steps_per_epoch=steps,
        callbacks=[Progress(epochs=epochs, steps=steps, label=label), tf.keras.callbacks.TerminateOnNaN()],
        verbose=0,
    ).history
    metrics = measure(model, evaluation) | {"val_loss": history["val_loss"][-1]}
    losses = history["val_loss"]
    metrics["rate_of_change"] = (losses[-1] - losses[0]) / (len(losses) - 1) if len(losses) > 1 else math.nan
    return metrics | {"seconds": time.monotonic() - began}


def measure(model: tf.keras.Model, evaluation: tf.data.Dataset) -> Metrics:
    """Accuracy, and precision, recall and F1 averaged over the classes, as scikit-learn defines them."""
    from sklearn.metrics import precision_recall_fscore_support

    labels, predicted = [], []
    for pixels, one_hot in evaluation:
        labels.append(one_hot.numpy().argmax(axis=1))
        predicted.append(model.predict_on_batch(pixels).argmax(axis=1))
    true, given = np.concatenate(labels), np.concatenate(predicted)
    precision, recall, f1, _ = precision_recall_fscore_support(true, given, average="macro", zero_division=0)
    return {
        "val_accuracy": float((true == given).mean()),
        "val_precision": float(precision),
        "val_recall": float(recall),
        "val_f1": float(f1),
    }
