"""Means of the weights over the steps or the epochs, which generalize better than the last weights."""

from typing import Any

import tensorflow as tf

from trainer_module.config import TrainerConfig


class WeightAverages(tf.keras.callbacks.Callback):
    """Keeps the mean, has it evaluated, and leaves it in the model when training ends.

    Its place among the callbacks is after what looks at an epoch's result, such as early stopping, and before what
    saves the training's state: the former sees the mean in the model, the latter the weights that are trained.
    """

    def __init__(self, model: tf.keras.Model, config: TrainerConfig):
        super().__init__()
        self._config = config
        self._first_epoch = int(config.swa_start * config.epochs)
        self._weights = [weight for weight in model.weights if weight.dtype.is_floating]
        with model.distribute_strategy.scope():
            self._means = [tf.Variable(weight, trainable=False) for weight in self._weights]
            self._count = tf.Variable(0.0, trainable=False)
        self._swapped = False
        self._update = tf.function(self._blend)

    @property
    def state(self) -> tf.train.Checkpoint:
        """What a checkpoint has to hold besides the model."""
        return tf.train.Checkpoint(means=self._means, count=self._count)

    def _blend(self, kept: tf.Tensor) -> None:
        for mean, weight in zip(self._means, self._weights, strict=True):
            mean.assign(tf.cast(kept, mean.dtype) * mean + tf.cast(1 - kept, mean.dtype) * weight)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._config.averaging == "ema":
            # The mean of the first steps would otherwise be the random weights it began with.
            self._count.assign_add(1.0)
            self._update(tf.minimum(self._config.ema_decay, (1 + self._count) / (10 + self._count)))

    def on_test_begin(self, logs: Any = None) -> None:
        if self._config.averaging == "swa":
            if self._epoch < self._first_epoch:
                return
            self._count.assign_add(1.0)
            self._update(1 - 1 / self._count)
        self._swap()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._swapped:
            self._swap()

    def on_train_end(self, logs: Any = None) -> None:
        if self._count > 0:
            self._swap()

    def _swap(self) -> None:
        for mean, weight in zip(self._means, self._weights, strict=True):
            held = tf.identity(weight)
            weight.assign(mean)
            mean.assign(held)
        self._swapped = not self._swapped
