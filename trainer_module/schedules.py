"""Learning rates as functions of the step, all with warm-up, and the one that waits for a plateau."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer_module.history import best_epoch
from trainer_module.optimization_config import OptimizationConfig

log = logging.getLogger("tfx_vision.training")

ONE_CYCLE_RISE = 0.3
"""Share of the training over which one_cycle's rate rises."""
ONE_CYCLE_START = 1 / 25
"""Share of the rate it begins with."""


class Schedule(tf.keras.optimizers.schedules.LearningRateSchedule):
    """The configured schedule: step → rate."""

    def __init__(
        self,
        config: OptimizationConfig,
        steps: int,
        steps_per_epoch: int,
        factors: Sequence[tuple[int, float]] = ((0, 1.0),),
    ):
        """
        Args:
          config: its settings.
          steps: of the whole training.
          steps_per_epoch: those of one epoch.
          factors: (first step, factor on the rate) of each phase of the training, in order.
        """
        self._config, self._steps, self._steps_per_epoch, self._factors = config, steps, steps_per_epoch, factors
        # What `Plateau` lowers; a function of the history, and so no part of a checkpoint.
        self.scale = tf.Variable(1.0, trainable=False, name="plateau_scale")

    def __call__(self, step: Any) -> tf.Tensor:
        """float32 scalar."""
        config = self._config
        step = tf.cast(step, tf.float32)
        rise = 0 if config.schedule == "one_cycle" else int(config.warmup * self._steps)
        warmup = tf.minimum(step / rise, 1.0) if rise else 1.0
        share = tf.maximum(self._share(step, rise), config.minimum_rate)
        return config.learning_rate * warmup * share * self._phase(step) * self.scale

    def _share(self, step: tf.Tensor, rise: int) -> tf.Tensor:
        """Share of the rate after the warm-up."""
        config = self._config
        part = tf.clip_by_value((step - rise) / max(self._steps - rise, 1), 0.0, 1.0)
        decays = tf.maximum(step - rise, 0.0) / (config.decay_epochs * self._steps_per_epoch)
        if config.schedule == "cosine":
            # Loshchilov and Hutter, 2017.
            return (1 + tf.cos(math.pi * part)) / 2
        if config.schedule == "exponential":
            return config.decay**decays
        if config.schedule == "step":
            return config.decay ** tf.floor(decays)
        if config.schedule == "one_cycle":
            # Smith and Topin, 2018; the momentum stays.
            up = tf.minimum(part / ONE_CYCLE_RISE, 1.0)
            down = tf.maximum(part - ONE_CYCLE_RISE, 0.0) / (1 - ONE_CYCLE_RISE)
            risen = ONE_CYCLE_START + (1 - ONE_CYCLE_START) * (1 - tf.cos(math.pi * up)) / 2
            return risen * (1 + tf.cos(math.pi * down)) / 2
        return tf.ones_like(step)

    def _phase(self, step: tf.Tensor) -> tf.Tensor:
        factor = tf.constant(self._factors[0][1])
        for first, other in self._factors[1:]:
            factor = tf.where(step >= first, other, factor)
        return factor

    def get_config(self) -> dict[str, Any]:
        """What Keras asks for when it serializes an optimizer; the schedule itself is rebuilt from the settings."""
        return {"schedule": self._config.schedule, "steps": self._steps, "steps_per_epoch": self._steps_per_epoch}


def schedule_of(model: tf.keras.Model) -> Schedule:
    """The schedule that a model was compiled with; under mixed precision an optimizer is inside another."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)._learning_rate


class Plateau(tf.keras.callbacks.Callback):
    """Multiplies the rate whenever the validation loss has not become better for a while."""

    def __init__(self, schedule: Schedule, config: OptimizationConfig, history: Sequence[float]):
        """
        Args:
          schedule: what to scale.
          config: says when and by how much.
          history: the validation loss of the epochs that were trained already, when training resumes.
        """
        super().__init__()
        self._schedule, self._config, self._losses = schedule, config, list(history)

    def on_train_begin(self, logs: Any = None) -> None:
        self._schedule.scale.assign(plateau_scale(self._losses, self._config))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        before = plateau_scale(self._losses, self._config)
        self._losses.append(float(logs["val_loss"]))
        scale = plateau_scale(self._losses, self._config)
        if scale < before:
            log.info("val_loss has not improved for %g epochs; the rate falls", self._config.decay_epochs)
        self._schedule.scale.assign(scale)


def plateau_scale(losses: Sequence[float], config: OptimizationConfig) -> float:
    """What the rate is multiplied by after these validation losses."""
    drops, since = 0, 0
    for epoch in range(1, len(losses)):
        waited = epoch - max(best_epoch(losses[: epoch + 1], lowest=True), since)
        if waited >= config.decay_epochs:
            drops, since = drops + 1, epoch
    return config.decay**drops
