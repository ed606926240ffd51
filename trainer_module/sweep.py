"""The learning-rate range test: one short training through all rates, from far too low to far too high."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from trainer_module.batches import training_batches
from trainer_module.compilation import compiled_model, make_reproducible
from trainer_module.data import Split
from trainer_module.schedules import schedule_of
from trainer_module.settings import TrainingSettings

LOWEST, HIGHEST = 1e-6, 1.0
"""Ends of the sweep."""
SMOOTHING = 0.9
"""Share of the mean loss that each step keeps."""
DIVERGED = 4.0
"""The sweep ends where the mean loss is this many times its lowest."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a sweep saw."""

    rates: Sequence[float]
    """Of each step, rising."""
    losses: Sequence[float]
    """Mean training loss up to the step, exponentially smoothed."""


def range_test(settings: TrainingSettings, train: Split, steps: int) -> Sweep:
    """Trains with a rate that rises exponentially at each step (Smith, 2017; smoothing as Howard and Gugger, 2018).

    Args:
      settings: of the training; its rate and schedule are the sweep's own.
      train: what to train on.
      steps: how many rates.
    """
    config = settings.trainer
    make_reproducible(config.seed)
    # Built with a constant rate of 1 that the sweep scales.
    at_one = {"trainer.learning_rate": 1.0, "trainer.schedule": "constant", "trainer.warmup": 0.0}
    model = compiled_model(settings.with_values(at_one), train)
    one_epoch = settings.with_values({"trainer.epochs": 1, "trainer.steps_per_epoch": steps})
    recorder = _Rising(steps)
    model.fit(
        training_batches(one_epoch, train),
        steps_per_epoch=steps,
        callbacks=[recorder],
        verbose=0,
    )
    return Sweep(rates=recorder.rates, losses=recorder.losses)


class _Rising(tf.keras.callbacks.Callback):
    """Sets the rate before each step and notes the loss after it."""

    def __init__(self, steps: int):
        super().__init__()
        self._steps = steps
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._total, self._mean = 0.0, 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        rate = LOWEST * (HIGHEST / LOWEST) ** (batch / max(self._steps - 1, 1))
        schedule_of(self.model).scale.assign(rate)
        self.rates.append(rate)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # Keras reports the mean over the epoch's steps; the sweep wants each step's own.
        total = float(logs["loss"]) * (batch + 1)
        loss, self._total = total - self._total, total
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        self.losses.append(self._mean / (1 - SMOOTHING ** (batch + 1)))
        if not math.isfinite(loss) or self.losses[-1] > DIVERGED * min(self.losses):
            self.model.stop_training = True


def suggested_rate(sweep: Sweep) -> float:
    """A tenth of the rate at which the loss is lowest.

    There it is on the point of rising, and the steepest place below it is a matter of the batches' noise.
    """
    finite = [position for position, loss in enumerate(sweep.losses) if math.isfinite(loss)]
    return sweep.rates[min(finite, key=lambda position: sweep.losses[position])] / 10
