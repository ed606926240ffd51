"""`fit`: the training itself, which continues where an earlier attempt left off."""

import logging
import os
from typing import Any

import tensorflow as tf

from trainer_module import feeding, parameter_server
from trainer_module.averaging import WeightAverages
from trainer_module.batches import training_batches
from trainer_module.callbacks import build_callbacks
from trainer_module.checkpoints import Checkpoints, StartAt, TrainingState
from trainer_module.config import TrainerConfig
from trainer_module.data import Split
from trainer_module.diagnostics import Evidence
from trainer_module.history import History
from trainer_module.initialization import initialize, twin_history
from trainer_module.schedules import Plateau, schedule_of
from trainer_module.settings import TrainingSettings
from trainer_module.strategies import is_asynchronous, several_workers
from trainer_module.transfer import Unfreezing, phases

log = logging.getLogger("tfx_vision.training")


def fit(
    model: tf.keras.Model, settings: TrainingSettings, train: Split, evaluation: Split, *, folder: str, log_dir: str
) -> Evidence:
    """Trains, from the last checkpoint if there is one; the model ends with the weights that are to be kept.

    Args:
      model: compiled.
      settings: of the training.
      train: what to train on.
      evaluation: what to watch.
      folder: of this training's checkpoints, and of no other training's.
      log_dir: TensorBoard's logs go into its folder `tensorboard`; the file of images is there while training goes on.

    Returns:
      The history (per epoch, loss, accuracy, val_loss and val_accuracy) and what `diagnostics` needs besides.

    Raises:
      ValueError: the loss was NaN in the first epoch (after a later one the weights of the best epoch are kept), or a
        setting does not go with the strategy.
    """
    config = settings.trainer
    if is_asynchronous(model.distribute_strategy):
        parameter_server.check(settings)
    with model.distribute_strategy.scope():
        averages = WeightAverages(model, config) if config.averaging != "none" else None
        state = TrainingState(model, folder, config.checkpoints.keep, averages)
        resumed = state.restore()
    progress = state.progress
    if resumed:
        log.info("continuing after %d epochs and %d steps", progress.epoch, progress.batch)
    else:
        initialize(model, settings, train, evaluation)
    if not progress.stopped and not progress.finished:
        if settings.transfer.twin_epochs and not progress.twin:
            progress.twin = twin_history(model.distribute_strategy, settings, train, evaluation)
        changing = what_changes_training(model, settings, progress.history, averages)
        run(state, settings, train, evaluation, changing, log_dir)
    if not progress.finished:
        finish(state, config)
    return evidence(state, config, train)


def evidence(state: TrainingState, config: TrainerConfig, train: Split) -> Evidence:
    """What the diagnostics look at."""
    progress, steps = state.progress, feeding.steps_per_epoch(train, config)
    schedule, epochs = schedule_of(state.model), len(progress.history.get("loss", ()))
    return Evidence(
        history=progress.history,
        classes=train.classes,
        learning_rate=config.learning_rate,
        rates=[float(schedule((epoch + 1) * steps)) for epoch in range(epochs)],
        twin=progress.twin,
        nan_epoch=progress.nan_epoch,
        ended=progress.finished,
    )


def what_changes_training(
    model: tf.keras.Model, settings: TrainingSettings, history: History, averages: WeightAverages | None
) -> list[tf.keras.callbacks.Callback]:
    """Callbacks that change weights, rate or what is trained; each a function of the epoch and the history."""
    config = settings.trainer
    changing: list[tf.keras.callbacks.Callback] = []
    plan = phases(settings.transfer, model, config.epochs)
    if len(plan) > 1:
        changing.append(Unfreezing(plan))
    if config.schedule == "plateau":
        changing.append(Plateau(schedule_of(model), config, history.get("val_loss", [])))
    return [*changing, averages] if averages else changing


def run(
    state: TrainingState,
    settings: TrainingSettings,
    train: Split,
    evaluation: Split,
    changing: list[tf.keras.callbacks.Callback],
    folder: str,
) -> None:
    """Keras's `fit` from the state's position on; `folder` is for logs and the file of images."""
    config = settings.trainer
    model, progress, steps = state.model, state.progress, feeding.steps_per_epoch(train, config)
    watching = build_callbacks(
        config,
        state,
        steps=steps,
        log_dir=os.path.join(folder, "tensorboard"),
        evidence=lambda: evidence(state, config, train),
    )
    saving = Checkpoints(state, config.checkpoints, steps)
    batches = distributed_batches(state, settings, train, folder)
    model._training_state = StartAt(progress)
    try:
        with saving.watching_signals():
            model.fit(
                batches,
                validation_data=evaluation_batches(state, config, evaluation, folder),
                epochs=config.epochs,
                steps_per_epoch=steps,
                callbacks=[*watching, *changing, saving],
                verbose=0,
            )
    finally:
        model._training_state = None


def distributed_batches(state: TrainingState, settings: TrainingSettings, train: Split, folder: str) -> Any:
    """What every worker is fed from the state's position on: an equal share of each batch."""
    config, progress, strategy = settings.trainer, state.progress, state.model.distribute_strategy
    if is_asynchronous(strategy):
        return parameter_server.training_batches(settings, train)
    plan = feeding.make_plan(train, config, segments=progress.segments, folder=folder)
    progress.segments = plan.segments
    first_step = progress.epoch * feeding.steps_per_epoch(train, config) + progress.batch
    if not several_workers(strategy):
        return training_batches(settings, train, first_step=first_step, plan=plan)

    def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
        part = context.input_pipeline_id, context.num_input_pipelines
        shared = training_batches(settings, train, first_step=first_step, plan=plan, part=part)
        return shared.rebatch(context.get_per_replica_batch_size(config.batch_size))

    return strategy.distribute_datasets_from_function(share)


def evaluation_batches(state: TrainingState, config: TrainerConfig, evaluation: Split, folder: str) -> tf.data.Dataset:
    """Every image once."""
    if is_asynchronous(state.model.distribute_strategy):
        return parameter_server.evaluation_batches(evaluation, config.batch_size)
    in_order = feeding.make_plan(evaluation, config, shuffled=False, folder=folder)
    return feeding.feed(evaluation, config.batch_size, plan=in_order)


def finish(state: TrainingState, config: TrainerConfig) -> None:
    """Takes the weights that are to be kept, and remembers that nothing is left to train."""
    progress = state.progress
    if progress.nan_epoch >= 0:
        if progress.best < 0:
            raise ValueError(f"the loss is NaN in epoch {progress.nan_epoch + 1}; lower trainer.learning_rate")
        log.warning("the loss is NaN in epoch %d; keeping epoch %d", progress.nan_epoch + 1, progress.best + 1)
    if progress.nan_epoch >= 0 or (config.patience and config.restore_best):
        state.restore_best()
    progress.finished = True
    state.save()
