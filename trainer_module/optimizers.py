"""Optimizers and learning-rate schedules by name."""

import tensorflow as tf

from trainer_module.optimization_config import OptimizationConfig


def build_optimizer(config: OptimizationConfig, steps: int) -> tf.keras.optimizers.Optimizer:
    """The configured optimizer with its schedule over `steps` optimizer steps."""
    rate = learning_rate(config, steps)
    optimizers = tf.keras.optimizers
    if config.optimizer in ("sgd", "momentum", "nesterov"):
        momentum = 0.0 if config.optimizer == "sgd" else 0.9
        return optimizers.SGD(rate, momentum=momentum, nesterov=config.optimizer == "nesterov")
    by_name = {
        "adam": optimizers.Adam,
        "adamw": optimizers.AdamW,
        "rmsprop": optimizers.RMSprop,
        "adagrad": optimizers.Adagrad,
        "adadelta": optimizers.Adadelta,
    }
    return by_name[config.optimizer](rate)


def learning_rate(config: OptimizationConfig, steps: int) -> float | tf.keras.optimizers.schedules.LearningRateSchedule:
    """A rate per step: constant, or linear warm-up and half a cosine down to 0 (Loshchilov and Hutter, 2017)."""
    if config.schedule == "constant":
        return config.learning_rate
    warmup = int(config.warmup * steps)
    return tf.keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else config.learning_rate,
        decay_steps=max(steps - warmup, 1),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
