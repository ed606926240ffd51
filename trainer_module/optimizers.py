"""Optimizers by name."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from trainer_module.optimization_config import OptimizationConfig
from trainer_module.schedules import Schedule

ADAMW_DECAY = 0.004
"""Keras's own default."""
NOT_DECAYED = ["bias", "gamma", "beta", "moving_mean", "moving_variance"]
"""Parts of the names of variables that weight decay leaves alone."""


def build_optimizer(
    config: OptimizationConfig,
    steps: int,
    steps_per_epoch: int | None = None,
    factors: Sequence[tuple[int, float]] = ((0, 1.0),),
) -> tf.keras.optimizers.Optimizer:
    """The configured optimizer with its schedule.

    Args:
      config: its settings.
      steps: of the whole training.
      steps_per_epoch: those of one epoch; all of them unless given.
      factors: (first step, factor on the rate) of each phase of the training.
    """
    options: dict[str, Any] = {
        "learning_rate": Schedule(config, steps, steps_per_epoch or steps, factors),
        "global_clipnorm": config.clip_norm or None,
        "weight_decay": config.weight_decay or None,
    }
    optimizers = tf.keras.optimizers
    if config.optimizer in ("sgd", "momentum", "nesterov"):
        momentum = 0.0 if config.optimizer == "sgd" else config.momentum
        optimizer = optimizers.SGD(momentum=momentum, nesterov=config.optimizer == "nesterov", **options)
    elif config.optimizer == "amsgrad":
        optimizer = optimizers.Adam(amsgrad=True, **options)
    elif config.optimizer == "adamw":
        decay = ADAMW_DECAY if config.weight_decay is None else config.weight_decay
        optimizer = optimizers.AdamW(**options | {"weight_decay": decay})
    else:
        by_name = {
            "adam": optimizers.Adam,
            "adamax": optimizers.Adamax,
            "nadam": optimizers.Nadam,
            "adagrad": optimizers.Adagrad,
            "adadelta": optimizers.Adadelta,
            "rmsprop": optimizers.RMSprop,
        }
        optimizer = by_name[config.optimizer](**options)
    optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer
