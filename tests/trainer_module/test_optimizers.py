"""Optimizers, schedules and the mean of the weights."""

import typing

import numpy as np
import pytest
import tensorflow as tf

from trainer_module import optimizers
from trainer_module.averaging import WeightAverages
from trainer_module.config import TrainerConfig
from trainer_module.optimization_config import OptimizerName
from trainer_module.schedules import Plateau, Schedule, plateau_scale


@pytest.mark.parametrize("name", typing.get_args(OptimizerName))
def test_every_optimizer_descends_at_its_rate(name):
    rate = 1.0 if name == "adadelta" else 0.1
    config = TrainerConfig(optimizer=name, learning_rate=rate, schedule="constant", warmup=0)
    optimizer = optimizers.build_optimizer(config, 10)
    assert float(optimizer.learning_rate) == pytest.approx(rate)
    weight = tf.Variable([2.0, -3.0])
    for _ in range(10):
        optimizer.apply_gradients([(2 * weight, weight)])
    assert float(tf.norm(weight)) < float(tf.norm([2.0, -3.0]))


def test_gradients_are_clipped_over_all_weights_together():
    config = TrainerConfig(optimizer="sgd", learning_rate=1.0, schedule="constant", warmup=0, clip_norm=1.0)
    first, second = tf.Variable(0.0), tf.Variable(0.0)
    optimizers.build_optimizer(config, 1).apply_gradients([(tf.constant(30.0), first), (tf.constant(40.0), second)])
    assert (float(first), float(second)) == pytest.approx((-0.6, -0.8))


def test_weight_decay_leaves_biases_and_normalization_alone():
    config = TrainerConfig(optimizer="adamw", learning_rate=0.5, schedule="constant", warmup=0, weight_decay=0.1)
    kernel, bias, gamma = (tf.Variable(1.0, name=name) for name in ("dense/kernel", "dense/bias", "norm/gamma"))
    optimizers.build_optimizer(config, 1).apply_gradients([(tf.constant(0.0), one) for one in (kernel, bias, gamma)])
    assert (float(kernel), float(bias), float(gamma)) == pytest.approx((0.95, 1, 1))


def rates(steps: list[int], factors=((0, 1.0),), **settings) -> list[float]:
    """Rates at these of 100 steps, 10 in an epoch."""
    schedule = Schedule(TrainerConfig(**{"learning_rate": 0.1, "warmup": 0} | settings), 100, 10, factors)
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize(
    ("settings", "steps", "expected"),
    [
        ({"schedule": "constant"}, [0, 50, 100], [0.1, 0.1, 0.1]),
        ({"schedule": "cosine"}, [0, 50, 100], [0.1, 0.05, 0]),
        ({"schedule": "cosine", "warmup": 0.2}, [0, 10, 20, 60, 100], [0, 0.05, 0.1, 0.05, 0]),
        ({"schedule": "cosine", "minimum_rate": 0.01}, [100], [0.001]),
        ({"schedule": "constant", "warmup": 0.2}, [0, 10, 20, 100], [0, 0.05, 0.1, 0.1]),
        ({"schedule": "step", "decay": 0.5, "decay_epochs": 3}, [0, 29, 30, 59, 60], [0.1, 0.1, 0.05, 0.05, 0.025]),
        ({"schedule": "exponential", "decay": 0.25, "decay_epochs": 2}, [0, 10, 20], [0.1, 0.05, 0.025]),
        ({"schedule": "one_cycle"}, [0, 30, 65, 100], [0.004, 0.1, 0.05, 0]),
    ],
)
def test_schedules(settings, steps, expected):
    assert rates(steps, **settings) == pytest.approx(expected, abs=1e-6)


def test_phases_scale_the_rate_from_their_first_step():
    assert rates([0, 49, 50], ((0, 1.0), (50, 0.1)), schedule="constant") == pytest.approx([0.1, 0.1, 0.01])


def test_plateau_falls_after_epochs_without_improvement_and_waits_anew():
    config = TrainerConfig(schedule="plateau", decay=0.5, decay_epochs=2)
    losses = [1.0, 0.9, 0.95, 0.95, 0.95, 0.95, 0.8, 0.85]
    scales = [plateau_scale(losses[:epochs], config) for epochs in range(1, 9)]
    assert scales == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_plateau_continues_where_a_resumed_training_was():
    config = TrainerConfig(schedule="plateau", decay=0.5, decay_epochs=2, learning_rate=0.1, warmup=0)
    schedule = Schedule(config, 100, 10)
    callback = Plateau(schedule, config, [1.0, 1.1, 1.1])
    callback.on_train_begin()
    assert float(schedule(50)) == pytest.approx(0.05)
    for loss in (1.1, 1.1):
        callback.on_epoch_end(0, {"val_loss": loss})
    assert float(schedule(50)) == pytest.approx(0.025)


@pytest.fixture
def model() -> tf.keras.Model:
    """One weight, which a step of training makes larger by 1."""
    network = tf.keras.Sequential([tf.keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    network.build((None, 1))
    network.compile(tf.keras.optimizers.SGD(1.0), lambda label, output: -tf.reduce_mean(output))
    return network


class Seen(tf.keras.callbacks.Callback):
    """The weight at the end of each epoch."""

    def on_train_begin(self, logs=None):
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(float(self.model.get_weights()[0][0, 0]))


def train(model, averages, epochs) -> tuple[list[float], list[float]]:
    """Weights that callbacks before and after the averages see."""
    before, after = Seen(), Seen()
    data = np.ones((2, 1), np.float32)
    model.fit(
        data, data, 1, epochs=epochs, verbose=0, validation_data=(data, data), callbacks=[before, averages, after]
    )
    return before.weights, after.weights


def test_swa_evaluates_the_mean_of_the_last_epochs_and_trains_on_with_the_weights(model):
    averages = WeightAverages(model, TrainerConfig(averaging="swa", swa_start=0.5, epochs=4))
    judged, trained = train(model, averages, 4)
    assert trained == [2, 4, 6, 8]
    assert judged == pytest.approx([2, 4, 6, 7])
    assert float(model.get_weights()[0][0, 0]) == pytest.approx(7), "training ends with the mean"


def test_ema_follows_the_steps_and_forgets_the_first_weights(model):
    averages = WeightAverages(model, TrainerConfig(averaging="ema", ema_decay=0.5, epochs=2))
    judged, trained = train(model, averages, 2)
    mean = 0.0
    expected = []
    for step in range(1, 5):
        kept = min(0.5, (1 + step) / (10 + step))
        mean = kept * mean + (1 - kept) * step
        expected.append(mean)
    assert trained == [2, 4] and judged == pytest.approx([expected[1], expected[3]])
    assert float(model.get_weights()[0][0, 0]) == pytest.approx(expected[3])
