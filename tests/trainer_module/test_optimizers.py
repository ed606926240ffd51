"""Optimizers and schedules."""

import pytest

from trainer_module import optimizers
from trainer_module.config import TrainerConfig


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adadelta"])
def test_every_optimizer_builds_at_its_rate(name):
    config = TrainerConfig(optimizer=name, learning_rate=0.25, schedule="constant")
    assert float(optimizers.build_optimizer(config, 10).learning_rate) == 0.25


def test_cosine_rises_through_the_warmup_and_falls_to_zero():
    rate = optimizers.learning_rate(TrainerConfig(learning_rate=0.1, warmup=0.2), 100)
    values = [float(rate(step)) for step in (0, 10, 20, 60, 100)]
    assert values == pytest.approx([0, 0.05, 0.1, 0.05, 0], abs=1e-6)
