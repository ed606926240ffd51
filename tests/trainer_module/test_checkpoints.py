"""Training that is interrupted and started again, against the same training without an interruption."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer_module import checkpoints, fitting
from trainer_module.augmentation_config import AugmentationConfig
from trainer_module.compilation import compiled_model, make_reproducible
from trainer_module.config import CheckpointConfig, TrainerConfig
from trainer_module.model_config import ModelConfig
from trainer_module.settings import TrainingSettings

STEPS = 5


class Interruption(Exception):
    """Stands in for the end of the process: nothing of the training survives but its folder."""


def train(
    split: Any, folder: Path, *, interrupt: Callable[[Any, int, int], None] | None = None, **settings: Any
) -> Any:
    """Trains with dropout and batch normalization; returns weights and history.

    `interrupt` is called with model, epoch and batch after each step, before the checkpoint of that step.
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
            on_train_batch_end=lambda batch, logs: interrupt(model, position["epoch"], batch),
        )
        fitting.build_callbacks = lambda *args, **more: [*build(*args, **more), watch]
    try:
        history = fitting.fit(model, everything, split, split, folder=str(folder), log_dir=str(folder / "logs")).history
    finally:
        fitting.build_callbacks = build
    return model.get_weights(), history


def at(epoch: int, batch: int, act: Callable[[Any], Any]) -> Callable[[Any, int, int], None]:
    return lambda model, *position: act(model) if position == (epoch, batch) else None


def die(*_: Any) -> None:
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


@pytest.mark.parametrize(("number", "ends"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_saves_after_the_step_and_nothing_is_trained_twice(split, uninterrupted, tmp_path, number, ends):
    """The process ends as its own handler has it, such as that of the step's container."""
    # Python has no handler of its own for SIGINT where the tests were started in the background.
    own = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: lambda number, frame: sys.exit(128 + number)}
    before = signal.signal(number, own[number])
    steps: list[Any] = []
    with pytest.raises(ends):
        train(split, tmp_path, interrupt=at(1, 2, lambda model: signal.raise_signal(number)))
    signal.signal(number, before)
    assert same(train(split, tmp_path, interrupt=lambda model, *position: steps.append(position)), uninterrupted)
    assert steps == [(1, 3), (1, 4), *((2, batch) for batch in range(STEPS))]


def test_nan_stops_training_and_keeps_the_weights_of_the_best_epoch(split, uninterrupted, tmp_path, caplog):
    def poison(model: Any) -> None:
        model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])

    weights, history = train(split, tmp_path, interrupt=at(2, 0, poison), epochs=5, schedule="constant")
    assert len(history["loss"]) == 2
    assert all(np.isfinite(values).all() for values in weights)
    best = int(np.argmin(history["val_loss"])) + 1
    assert "nan since epoch 3" in caplog.text and f"keeping epoch {best}" in caplog.text


def test_a_finished_training_is_not_repeated_when_what_follows_it_was_killed(split, uninterrupted, tmp_path):
    steps: list[Any] = []
    train(split, tmp_path)
    assert same(train(split, tmp_path, interrupt=lambda *position: steps.append(position)), uninterrupted)
    assert steps == []


def test_a_checkpoint_that_cannot_be_read_gives_way_to_the_one_before(split, uninterrupted, tmp_path):
    with pytest.raises(Interruption):
        train(split, tmp_path, interrupt=at(2, 1, die))
    [newest] = (tmp_path / "state").glob("ckpt-2.index")
    newest.write_bytes(newest.read_bytes()[:100])
    steps: list[Any] = []
    resumed = train(split, tmp_path, interrupt=lambda model, *position: steps.append(position))
    assert same(resumed, uninterrupted)
    assert steps[0] == (1, 0)


def test_early_stopping_counts_across_an_interruption_and_ends_with_the_best_weights(split, tmp_path):
    settings = {"epochs": 30, "patience": 2, "min_improvement": 0.5, "learning_rate": 0.001}
    whole = train(split, tmp_path / "whole", **settings)
    epochs = len(whole[1]["val_loss"])
    assert epochs < 30
    with pytest.raises(Interruption):
        train(split, tmp_path / "killed", interrupt=at(epochs - 1, 1, die), **settings)
    assert same(train(split, tmp_path / "killed", **settings), whole)


def test_killed_after_the_early_stop_it_still_ends_with_the_best_weights(split, tmp_path, monkeypatch):
    settings = {"epochs": 30, "patience": 1, "min_improvement": 0.5, "learning_rate": 0.001}
    whole = train(split, tmp_path / "whole", **settings)
    with monkeypatch.context() as patch, pytest.raises(Interruption):
        patch.setattr(fitting, "finish", die)
        train(split, tmp_path / "killed", **settings)
    assert same(train(split, tmp_path / "killed", **settings), whole)


def test_only_so_many_checkpoints_are_kept_and_only_of_the_best_epochs_if_asked(split, tmp_path):
    def saved(folder: Path) -> list[str]:
        return sorted(path.stem for path in (folder / "state").glob("*.index"))

    with pytest.raises(Interruption):
        train(split, tmp_path / "all", interrupt=at(2, 4, die), checkpoints={"every_steps": 1, "keep": 3})
    assert saved(tmp_path / "all") == ["ckpt-12", "ckpt-13", "ckpt-14"]
    with pytest.raises(Interruption):
        settings = {"checkpoints": {"best_only": True, "keep": 9}, "min_improvement": 9.0}
        train(split, tmp_path / "best", interrupt=at(2, 4, die), **settings)
    assert saved(tmp_path / "best") == ["ckpt-1"]


def test_the_same_training_finds_its_folder_again_and_another_one_does_not():
    config = CheckpointConfig()
    first = checkpoints.folder_for(config, "runs/a/Trainer/model_run/5", {"data": "x", "epochs": 3})
    assert first == checkpoints.folder_for(config, "runs/a/Trainer/model_run/6", {"epochs": 3, "data": "x"})
    assert first != checkpoints.folder_for(config, "runs/a/Trainer/model_run/5", {"data": "y", "epochs": 3})
    assert Path(first).parent == Path("runs/a/Trainer/checkpoints")
    elsewhere = CheckpointConfig(directory="/volume")
    assert checkpoints.folder_for(elsewhere, "anything/at/all", {}).startswith("/volume/")
