"""What happens during training besides training."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from trainer_module.checkpoints import TrainingState
from trainer_module.config import TrainerConfig
from trainer_module.diagnostics import Evidence, diagnose
from trainer_module.history import best_epoch

log = logging.getLogger("tfx_vision.training")

NAN_INTERVAL = 20
"""Steps between two looks at the loss for NaN."""


class Progress(tf.keras.callbacks.Callback):
    """Logs a line per epoch, and steps in between at most once a second."""

    def __init__(self, *, epochs: int, steps: int, label: str = "epoch"):
        super().__init__()
        # Numbers are fetched when they are shown, not at every step.
        self._supports_tf_logs = True
        self._epochs, self._steps, self._label = epochs, steps, label
        self._epoch = 0
        self._said = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if time.monotonic() - self._said < 1:
            return
        self._said = time.monotonic()
        done = self._epoch * self._steps + batch + 1
        log.info(
            "%s %d of %d, accuracy %.3f",
            self._label,
            self._epoch + 1,
            self._epochs,
            float(known(logs).get("accuracy", math.nan)),
            extra={"progress": (done, self._epochs * self._steps)},
        )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        shown = ", ".join(f"{name} {float(value):.4f}" for name, value in (logs or {}).items())
        done = (epoch + 1) * self._steps
        log.info("%s %d: %s", self._label, epoch + 1, shown, extra={"progress": (done, self._epochs * self._steps)})


class Record(tf.keras.callbacks.Callback):
    """Keeps the history across interruptions and the weights of the best epoch; stops without improvement or at NaN."""

    def __init__(self, state: TrainingState, config: TrainerConfig):
        super().__init__()
        self._supports_tf_logs = True
        self._progress, self._save_best, self._config = state.progress, state.save_best, config

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # Not every step: looking at the loss waits for the device. The loss is the epoch's mean, which stays NaN.
        if batch % NAN_INTERVAL == 0 and not math.isfinite(known(logs).get("loss", 0.0)):
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        progress, config = self._progress, self._config
        values = {name: float(value) for name, value in logs.items()}
        if not all(map(math.isfinite, values.values())):
            progress.nan_epoch = epoch
            self.model.stop_training = True
            return
        for name, value in values.items():
            progress.history.setdefault(name, []).append(value)
        progress.best = best_epoch(
            progress.history[config.monitor],
            lowest=config.monitor == "val_loss",
            min_improvement=config.min_improvement,
        )
        if progress.best == epoch:
            self._save_best(epoch)
        progress.stopped = bool(config.patience) and epoch - progress.best >= config.patience
        if progress.stopped:
            log.info("%s has not improved for %d epochs; stopping", config.monitor, config.patience)
            self.model.stop_training = True


class Diagnose(tf.keras.callbacks.Callback):
    """Says in the log what is wrong, once, as soon as it shows."""

    def __init__(self, evidence: Callable[[], Evidence]):
        super().__init__()
        self._supports_tf_logs = True
        self._evidence = evidence
        self._said: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        for finding in diagnose(self._evidence()):
            if finding.rule not in self._said:
                self._said.add(finding.rule)
                log.warning("%s since epoch %d: %s %s", finding.rule, finding.epoch, finding.evidence, finding.advice)


def known(logs: Any) -> Mapping[str, Any]:
    """What a step came to; nothing where steps overlap, and only the end of the epoch waits for them."""
    return logs if isinstance(logs, Mapping) else {}


def build_callbacks(
    config: TrainerConfig, state: TrainingState, *, steps: int, log_dir: str, evidence: Callable[[], Evidence]
) -> list[tf.keras.callbacks.Callback]:
    """Progress, TensorBoard, the record with its early stop, diagnostics; what else changes training comes after."""
    return [
        Progress(epochs=config.epochs, steps=steps),
        tf.keras.callbacks.TensorBoard(log_dir, write_graph=False),
        Record(state, config),
        Diagnose(evidence),
    ]
