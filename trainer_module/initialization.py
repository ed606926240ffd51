"""First weights that are better than random ones, and whether given ones are."""

import dataclasses
import logging
from typing import Any

import tensorflow as tf

from trainer_module import feeding
from trainer_module.batches import training_batches
from trainer_module.callbacks import Progress
from trainer_module.compilation import compiled_model, make_reproducible
from trainer_module.data import Split
from trainer_module.history import History
from trainer_module.settings import TrainingSettings
from trainer_module.transfer_config import TransferConfig

log = logging.getLogger("tfx_vision.training")


def initialize(model: tf.keras.Model, settings: TrainingSettings, train: Split, evaluation: Split) -> None:
    """Gives the network its first weights, where they are neither random nor from a file."""
    config = settings.transfer
    if config.initializations > 1:
        model.set_weights(best_initialization(model.distribute_strategy, settings, train, evaluation))
    if config.pretraining_epochs:
        model.set_weights(one_shot(model, settings, train, evaluation))


def one_shot(model: tf.keras.Model, settings: TrainingSettings, train: Split, evaluation: Split) -> list[Any]:
    """Weights after a few epochs under heavy dropout, too general to be near any poor optimum.

    Handbook, part 11, "Domain Transfer Weight Initialization".
    """
    config = settings.transfer
    heavy = settings.with_values(
        {"model.dropout": config.pretraining_dropout, "trainer.epochs": config.pretraining_epochs}
    )
    with model.distribute_strategy.scope():
        pupil = compiled_model(heavy, train)
    pupil.set_weights(model.get_weights())
    _train(pupil, heavy, train, evaluation, 0, config.pretraining_epochs, "one-shot initialization, epoch")
    return pupil.get_weights()


def best_initialization(
    strategy: tf.distribute.Strategy, settings: TrainingSettings, train: Split, evaluation: Split
) -> list[Any]:
    """The first weights of the best of several trainings; the worse half of them stops after each epoch."""
    contenders = {}
    for number in range(settings.transfer.initializations):
        seeded = settings.with_values({"trainer.seed": settings.trainer.seed + number})
        make_reproducible(seeded.trainer.seed)
        with strategy.scope():
            model = compiled_model(seeded, train)
        contenders[number] = (model, model.get_weights())
    epoch = 0
    while len(contenders) > 1:
        losses = {}
        for number, (model, _) in contenders.items():
            label = f"initialization {number + 1}, epoch"
            history = _train(model, settings, train, evaluation, epoch, epoch + 1, label)
            losses[number] = history["val_loss"][-1]
        # NaN is worse than any number.
        ranked = sorted(losses, key=lambda number: (losses[number] != losses[number], losses[number]))
        stopped = ranked[(len(ranked) + 1) // 2 :]
        log.info("initializations stopped after epoch %d: %s", epoch + 1, ", ".join(str(n + 1) for n in stopped))
        contenders = {number: contenders[number] for number in ranked if number not in stopped}
        epoch += 1
    [(winner, (_, weights))] = contenders.items()
    log.info("training begins with initialization %d", winner + 1)
    return weights


def twin_history(
    strategy: tf.distribute.Strategy, settings: TrainingSettings, train: Split, evaluation: Split
) -> History:
    """History of the same training from random weights, for the first epochs."""
    scratch = dataclasses.replace(settings, transfer=TransferConfig())
    make_reproducible(settings.trainer.seed)
    with strategy.scope():
        twin = compiled_model(scratch, train)
    epochs = min(settings.transfer.twin_epochs, settings.trainer.epochs)
    return _train(twin, scratch, train, evaluation, 0, epochs, "twin from scratch, epoch")


def _train(
    model: tf.keras.Model,
    settings: TrainingSettings,
    train: Split,
    evaluation: Split,
    first: int,
    last: int,
    label: str,
) -> History:
    """Plain epochs without checkpoints."""
    config = settings.trainer
    steps = feeding.steps_per_epoch(train, config)
    return model.fit(
        training_batches(settings, train, first_step=first * steps, last_epoch=last),
        validation_data=feeding.feed(evaluation, config.batch_size, feeder=config.feeder),
        initial_epoch=first,
        epochs=last,
        steps_per_epoch=steps,
        callbacks=[Progress(epochs=last, steps=steps, label=label)],
        verbose=0,
    ).history
