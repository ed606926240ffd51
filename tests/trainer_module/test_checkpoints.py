"""Training that is interrupted and started again, against the same training without an interruption."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer_module import fitting
from trainer_module.augmentation_config import AugmentationConfig
from trainer_module.config import TrainerConfig
from trainer_module.model_config import ModelConfig
from trainer_module.settings import TrainingSettings
from trainer_module.trainer import compiled_model, make_reproducible

STEPS = 5


class Interruption(Exception):
    """Stands in for the end of the process: nothing of the training survives but its folder."""


def train(split: Any, folder: Path, *, interrupt: Callable[[int, int], None] | None = None, **settings: Any) -> Any:
    """Trains with dropout and batch normalization; returns weights and history.

    `interrupt` is called with epoch and batch after each step, before the checkpoint of that step.
    """
    config = TrainerConfig(**{"epochs": 3, "batch_size": 10, "learning_rate": 0.01, "patience": 0} | settings)
    tf.keras.backend.clear_session()
    make_reproducible(config.seed)
    network = ModelConfig(filters=[4], hidden_units=8)
    everything = TrainingSettings(
        model=network, trainer=config, augmentation=AugmentationConfig(rotation=20, noise=0.1, mixup=0.2)
    )
    model = compiled_model(everything, split)
    build = fitting.build_callbacks
    if interrupt:
        position = {"epoch": 0}
        watch = tf.keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: position.update(epoch=epoch),
            on_train_batch_end=lambda batch, logs: interrupt(position["epoch"], batch),
        )
        fitting.build_callbacks = lambda *args, **more: [*build(*args, **more), watch]
    try:
        history = fitting.fit(model, everything, split, split, folder=str(folder), log_dir=str(folder / "logs")).history
    finally:
        fitting.build_callbacks = build
    return model.get_weights(), history


def at(epoch: int, batch: int, act: Callable[[], Any]) -> Callable[[int, int], None]:
    return lambda *position: act() if position == (epoch, batch) else None


def die() -> None:
    raise Interruption


def same(first: Any, second: Any) -> bool:
    """Bit by bit, weights and history."""
    return all(np.array_equal(a, b) for a, b in zip(first[0], second[0], strict=True)) and first[1] == second[1]


@pytest.fixture(scope="module")
def uninterrupted(split, tmp_path_factory) -> Any:
    return train(split, tmp_path_factory.mktemp("uninterrupted"))


def test_same_seed_gives_the_same_weights_to_the_bit(split, uninterrupted, tmp_path):
    assert same(train(split, tmp_path), uninterrupted)


@pytest.mark.parametrize(("epoch", "batch"), [(0, 3), (1, 0), (2, 2)])
def test_a_killed_training_ends_as_if_it_had_never_stopped(split, uninterrupted, tmp_path, epoch, batch):
    with pytest.raises(Interruption):
        train(split, tmp_path, interrupt=at(epoch, batch, die), checkpoints={"every_steps": 2})
    assert same(train(split, tmp_path, checkpoints={"every_steps": 2}), uninterrupted)


def test_ctrl_c_saves_after_the_step_and_nothing_is_trained_twice(split, uninterrupted, tmp_path):
    steps = []
    with pytest.raises(KeyboardInterrupt):
        train(split, tmp_path, interrupt=at(1, 2, lambda: signal.raise_signal(signal.SIGINT)))
    assert same(train(split, tmp_path, interrupt=lambda *position: steps.append(position)), uninterrupted)
    assert steps == [(1, 3), (1, 4), *((2, batch) for batch in range(STEPS))]
