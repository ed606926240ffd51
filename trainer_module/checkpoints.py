"""Checkpoints: a training that stops at any moment, also by `kill -9`, continues exactly where it left off.

A checkpoint holds weights, optimizer (and so the schedule's position), random state, metrics, epoch, step and
history; the order of the data follows from seed and step (`feeding`). `tf.keras.callbacks.BackupAndRestore` is the
model for this, but it forgets random state, metrics and history, and keeps one checkpoint.
"""

import contextlib
import hashlib
import json
import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

import tensorflow as tf

from trainer_module.averaging import WeightAverages
from trainer_module.config import CheckpointConfig
from trainer_module.history import History
from trainer_module.strategies import is_asynchronous, several_workers, written_by_chief

log = logging.getLogger("tfx_vision.training")


def folder_for(config: CheckpointConfig, model_run: str, identity: Mapping[str, Any]) -> str:
    """Where a training keeps its checkpoints: the same folder whenever the same training is started again.

    TFX gives each attempt an output folder of its own, so this one is beside those, or where the settings say.

    Args:
      config: the settings.
      model_run: folder of the model_run artifact, ROOT/Trainer/model_run/ID.
      identity: JSON values that make the training what it is: settings, data, starting weights.
    """
    name = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    parent = config.directory or os.path.join(os.path.dirname(os.path.dirname(model_run)), "checkpoints")
    return os.path.join(parent, name)


def remove(folder: str) -> None:
    """Removes a training's checkpoints, and the folder of all of them when it is empty then."""
    if tf.io.gfile.exists(folder):
        tf.io.gfile.rmtree(folder)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(folder))


class Progress(tf.train.experimental.PythonState):
    """How far a training has come; part of the checkpoint."""

    def __init__(self) -> None:
        self.epoch = 0
        """Finished epochs."""
        self.batch = 0
        """Finished steps of the epoch after them."""
        self.metrics: list[list[float]] = []
        """State of each metric at that step."""
        self.segments = 0
        """Parts that the training split is fed in, chosen once; 0 before it begins."""
        self.history: History = {}
        """Per finished epoch."""
        self.twin: History = {}
        """Of the twin from scratch that the transfer is compared with; {} without one."""
        self.best = -1
        """The best of them, counted from 0; -1 before the first."""
        self.nan_epoch = -1
        """The epoch in which the loss was no number any more; -1 while it is one."""
        self.stopped = False
        """Whether it was stopped early."""
        self.finished = False
        """Whether the model has the weights that are to be kept."""

    def serialize(self) -> str:
        names = ("epoch", "batch", "metrics", "segments", "history", "twin", "best", "nan_epoch", "stopped", "finished")
        return json.dumps({name: getattr(self, name) for name in names})

    def deserialize(self, string_value: str | bytes) -> None:
        for name, value in json.loads(string_value).items():
            setattr(self, name, value)


class TrainingState:
    """Everything about a training that a checkpoint holds, and the checkpoints in its folder."""

    def __init__(self, model: tf.keras.Model, folder: str, keep: int, averages: WeightAverages | None = None):
        self.progress = Progress()
        self.model = model
        model.optimizer.build(model.trainable_variables)
        extra = {"averages": averages.state} if averages else {}
        self._checkpoint = tf.train.Checkpoint(model=model, progress=self.progress, random=generators(model), **extra)
        self._best = tf.train.Checkpoint(weights=list(model.weights))
        self._keep = keep
        self._state_folder, self._best_folder = os.path.join(folder, "state"), os.path.join(folder, "best")

    def save(self) -> None:
        """Writes a checkpoint."""
        with written_by_chief(self.model.distribute_strategy, self._state_folder) as [folder]:
            tf.train.CheckpointManager(self._checkpoint, folder, self._keep).save()

    def save_best(self, epoch: int) -> None:
        """Keeps the weights as those of the best epoch."""
        with written_by_chief(self.model.distribute_strategy, self._best_folder) as [folder]:
            tf.train.CheckpointManager(self._best, folder, 1).save(checkpoint_number=epoch + 1)

    def restore(self) -> bool:
        """Takes the newest checkpoint that can be read; False when there is none."""
        found = tf.train.get_checkpoint_state(self._state_folder)
        for path in reversed(found.all_model_checkpoint_paths if found else []):
            try:
                self._checkpoint.restore(path).assert_existing_objects_matched()
            except tf.errors.OpError:  # whatever a damaged file makes of it
                log.warning("checkpoint %s cannot be read; trying the one before it", path)
            except (AssertionError, ValueError) as error:
                raise ValueError(
                    f"the checkpoints in {self._state_folder} are of another network; remove that folder"
                ) from error
            else:
                return True
        return False

    def restore_best(self) -> bool:
        """Takes the weights of the best epoch; False when none was kept."""
        path = tf.train.latest_checkpoint(self._best_folder)
        if path is None:
            return False
        self._best.restore(path).assert_consumed()
        return True


def generators(model: tf.keras.Model) -> list[tf.random.Generator]:
    """The random generators in a model's layers, such as Dropout's; Keras leaves them out of its checkpoints."""
    holders = [getattr(layer, "_random_generator", None) for layer in model._flatten_layers()]
    found = [getattr(holder, "_generator", None) for holder in holders]
    return [generator for generator in found if generator is not None]


class Checkpoints(tf.keras.callbacks.Callback):
    """Saves as configured, and when the process is asked to end. It goes last, so that it saves what others changed."""

    def __init__(self, state: TrainingState, config: CheckpointConfig, steps: int):
        super().__init__()
        self._supports_tf_logs = True
        self._state, self._config, self._steps = state, config, steps
        self._resumed_metrics = state.progress.metrics
        self._received: int | None = None

    @contextlib.contextmanager
    def watching_signals(self) -> Iterator[None]:
        """Until the end of the block, SIGTERM and Ctrl-C end training after a checkpoint; a second one at once."""
        # Only the main thread may set handlers; and a worker cannot save alone, nor between steps that overlap.
        strategy = self._state.model.distribute_strategy
        accompanied = several_workers(strategy) or is_asynchronous(strategy)
        if accompanied or threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def receive(number: int, frame: FrameType | None) -> None:
            signal.signal(number, handlers[signal.Signals(number)])
            self._received = number
            log.info("%s: saving a checkpoint after this step", signal.Signals(number).name)

        for number in handlers:
            signal.signal(number, receive)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._state.progress.batch = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        done = batch + 1
        if self._resumed_metrics:
            add_to_metrics(self.model, self._resumed_metrics)
            self._resumed_metrics = []
        # The end of the epoch, with its validation, is a checkpoint's business of its own.
        if done == self._steps:
            return
        every = self._config.every_steps
        if self._received or (every and done % every == 0):
            self._state.progress.batch = done
            self._state.progress.metrics = metric_values(self.model)
            self._save()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        progress = self._state.progress
        if progress.nan_epoch >= 0:
            return
        progress.epoch, progress.batch, progress.metrics = epoch + 1, 0, []
        every = self._config.every_epochs
        due = every and progress.epoch % every == 0 and not (self._config.best_only and progress.best != epoch)
        if self._received or due:
            self._save()

    def _save(self) -> None:
        self._state.save()
        if self._received:
            log.info("saved; training continues from here when it is started again")
            # What this does is up to the handler from before: by default the process ends.
            signal.raise_signal(self._received)


def metric_values(model: tf.keras.Model) -> list[list[float]]:
    """The variables of each metric, flat."""
    return [[float(x) for v in metric.variables for x in v.numpy().flat] for metric in model.metrics]


def add_to_metrics(model: tf.keras.Model, values: list[list[float]]) -> None:
    """Adds an epoch's earlier steps to its metrics; the states of Keras's metrics are sums."""
    for metric, flat in zip(model.metrics, values, strict=True):
        for variable in metric.variables:
            size = variable.shape.num_elements()
            head, flat = flat[:size], flat[size:]
            variable.assign(variable.numpy() + tf.reshape(tf.constant(head, variable.dtype), variable.shape))


class StartAt:
    """What `fit` asks for the epoch and step to begin with: BackupAndRestore answers it the same way."""

    def __init__(self, progress: Progress):
        self._position = progress.epoch, progress.batch

    def maybe_load_initial_counters_from_ckpt(self, *_: Any, **__: Any) -> tuple[int, int]:
        """(epoch, step)."""
        return self._position
