"""What happens during training besides training."""

import logging
import time

import tensorflow as tf

from trainer_module.config import TrainerConfig

log = logging.getLogger("tfx_vision.training")


class Progress(tf.keras.callbacks.Callback):
    """Logs a line per epoch, and steps in between at most once a second."""

    def __init__(self, *, epochs: int, steps: int, label: str = "epoch"):
        super().__init__()
        self._epochs, self._steps, self._label = epochs, steps, label
        self._epoch = 0
        self._said = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if time.monotonic() - self._said < 1:
            return
        self._said = time.monotonic()
        done = self._epoch * self._steps + batch + 1
        log.info(
            "%s %d of %d, accuracy %.3f",
            self._label,
            self._epoch + 1,
            self._epochs,
            (logs or {}).get("accuracy", float("nan")),
            extra={"progress": (done, self._epochs * self._steps)},
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        done = (epoch + 1) * self._steps
        log.info("%s %d: %s", self._label, epoch + 1, shown, extra={"progress": (done, self._epochs * self._steps)})


def build_callbacks(config: TrainerConfig, *, steps: int, log_dir: str) -> list[tf.keras.callbacks.Callback]:
    """Progress, TensorBoard, a stop at NaN and, with patience, early stopping with the best weights restored."""
    callbacks = [
        Progress(epochs=config.epochs, steps=steps),
        tf.keras.callbacks.TensorBoard(log_dir, write_graph=False),
        tf.keras.callbacks.TerminateOnNaN(),
    ]
    if config.patience:
        callbacks.append(
            tf.keras.callbacks.EarlyStopping("val_loss", patience=config.patience, restore_best_weights=True)
        )
    return callbacks
