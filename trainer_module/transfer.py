"""Transfer learning: a backbone's weights from a file, and which of its groups are trained when."""

import hashlib
import logging
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import tensorflow as tf

from trainer_module.models import BACKBONE
from trainer_module.transfer_config import TransferConfig

log = logging.getLogger("tfx_vision.training")

WEIGHTS = "backbone.h5"
"""The file of a run with the weights of its backbone; `.weights.h5` would have Keras leave the names out."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the training."""

    first_epoch: int
    """Counted from 0."""
    groups: int | None
    """Convolution groups of the backbone that are trained, from the top; None is everything, the stem included."""
    rate: float
    """Factor on the learning rate."""


def phases(config: TransferConfig, model: tf.keras.Model, epochs: int) -> list[Phase]:
    """What is trained when.

    Raises:
      ValueError: there are too few epochs for every group to have its own.
    """
    if not config.weights or config.mode == "full":
        return [Phase(first_epoch=0, groups=None, rate=1.0)]
    found = [Phase(first_epoch=0, groups=0, rate=1.0)]
    if config.mode == "frozen":
        return found
    _, groups = convolution_groups(model.get_layer(BACKBONE))
    for number in range(1, len(groups) + 2):
        first = config.head_epochs + (number - 1) * config.group_epochs
        trained = number if number <= len(groups) else None
        found.append(Phase(first_epoch=first, groups=trained, rate=config.fine_tuning_rate))
    if found[-1].first_epoch >= epochs:
        raise ValueError(
            f"transfer.mode gradual needs more than {found[-1].first_epoch} epochs for the {len(groups)} groups of "
            f"{model.name} and its stem; raise trainer.epochs or lower transfer.head_epochs and group_epochs"
        )
    return found


def convolution_groups(backbone: tf.keras.Model) -> tuple[list[tf.keras.layers.Layer], list[list[Any]]]:
    """The layers of the stem, and those of each convolution group from bottom to top; only layers with weights.

    A group is what works at one resolution, give or take the borders that convolutions without padding lose; the stem
    is what comes at or before that of the first convolution.
    """
    height = backbone.input_shape[1]
    by_level: dict[int, list[tf.keras.layers.Layer]] = {}
    stem_level, level = None, 0
    for layer in backbone.layers:
        shape = layer.output_shape
        if isinstance(shape, tuple) and len(shape) == 4:
            # Branches are listed in turns; a group ends where all of it has shrunk.
            level = max(level, round(math.log2(height / shape[1])))
        if stem_level is None and isinstance(layer, tf.keras.layers.Conv2D):
            stem_level = level
        if layer.weights:
            by_level.setdefault(level, []).append(layer)
    if stem_level is None:
        return backbone.layers, []
    stem = [layer for level, layers in by_level.items() if level <= stem_level for layer in layers]
    return stem, [layers for level, layers in sorted(by_level.items()) if level > stem_level]


def set_trainable(model: tf.keras.Model, phase: Phase) -> None:
    """Freezes and unfreezes the layers of the backbone.

    Batch normalization stays in inference mode throughout, with the statistics it came with: those of small batches of
    other images would undo what was learned.
    """
    backbone = model.get_layer(BACKBONE)
    stem, groups = convolution_groups(backbone)
    parts = [stem, *groups]
    trained = parts if phase.groups is None else parts[len(parts) - phase.groups :]
    backbone.trainable = True
    for part in parts:
        for layer in part:
            layer.trainable = part in trained and not isinstance(layer, tf.keras.layers.BatchNormalization)


def freezes_normalization(config: TransferConfig) -> bool:
    """Whether the backbone's batch normalization stays as it came."""
    return bool(config.weights) and config.mode != "full"


class Unfreezing(tf.keras.callbacks.Callback):
    """Begins each phase at its epoch, also where training resumes in the middle of one.

    The optimizer knows all weights from the start, so that only the training step has to be built anew, which is what
    compiling again would do, and nothing that it learned about the gradients is lost.
    """

    def __init__(self, schedule: Sequence[Phase]):
        super().__init__()
        self._phases = schedule
        self._current: Phase | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        phase = [phase for phase in self._phases if phase.first_epoch <= epoch][-1]
        if phase == self._current:
            return
        self._current = phase
        set_trainable(self.model, phase)
        with self.model.distribute_strategy.scope():
            self.model.make_train_function(force=True)
        count = sum(int(np.prod(weight.shape)) for weight in self.model.trainable_weights)
        part = {None: "everything", 0: "the head"}.get(phase.groups, f"the head and {phase.groups} groups")
        log.info("from epoch %d on %s is trained: %s weights", epoch + 1, part, f"{count:,}")


def load_backbone(model: tf.keras.Model, path: str, sha256: str | None) -> None:
    """Puts the weights of a Keras .h5 file into the backbone; the file may hold more than its layers.

    Weights are found by the names of layer and weight, and where names were made up by Keras, such as conv2d_17, by
    their order. HDF5 holds arrays only: nothing of the file is executed.

    Raises:
      ValueError: the file cannot be read, has another SHA-256, or does not hold the weights of this network.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            local = path
            if "://" in path:
                local = os.path.join(folder, "weights.h5")
                tf.io.gfile.copy(path, local)
            with open(local, "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if sha256 and found != sha256:
                raise ValueError(f"transfer.weights {path} has the SHA-256 {found}, not {sha256}")
            with h5py.File(local, "r") as file:
                arrays = _arrays(file)
        except (OSError, tf.errors.OpError) as error:
            raise ValueError(f"transfer.weights {path} cannot be read: {error}") from error
    weights = model.get_layer(BACKBONE).weights
    chosen = _match(weights, arrays)
    if chosen is None:
        sample = next(weight.name for weight in weights if _key(weight.name) not in {_key(name) for name in arrays})
        raise ValueError(
            f"transfer.weights {path} does not hold the weights of {model.name}: {len(arrays)} arrays for "
            f"{len(weights)} weights, and none for {sample}"
        )
    for weight, array in zip(weights, chosen, strict=True):
        weight.assign(array)
    log.info("the backbone begins with %d arrays of %s, SHA-256 %s", len(weights), path, found)


def _arrays(file: h5py.File) -> dict[str, np.ndarray]:
    """The arrays by path, in the order that Keras wrote the layers in."""
    found: dict[str, np.ndarray] = {}

    def visit(group: h5py.Group) -> None:
        names = group.attrs.get("weight_names", [])
        names = [name.decode() if isinstance(name, bytes) else name for name in names]
        layers = [name.decode() if isinstance(name, bytes) else name for name in group.attrs.get("layer_names", [])]
        for name in names:
            found[f"{group.name}/{name}"] = np.asarray(group[name])
        for name in layers or ([] if names else list(group)):
            if isinstance(group.get(name), h5py.Group):
                visit(group[name])

    visit(file)
    return {name: array for name, array in found.items() if "/optimizer_weights/" not in name}


def _key(name: str) -> str:
    """Layer and weight of a path, such as Conv1/kernel; Keras 3 writes the kernel of a depthwise convolution so too."""
    return "/".join(name.split(":")[0].split("/")[-2:]).replace("/depthwise_kernel", "/kernel")


def _match(weights: Sequence[tf.Variable], arrays: dict[str, np.ndarray]) -> list[np.ndarray] | None:
    by_key = {_key(name): array for name, array in arrays.items()}
    by_name = [by_key[_key(weight.name)] for weight in weights if _key(weight.name) in by_key]
    for candidates in (by_name, list(arrays.values())):
        shapes = [array.shape for array in candidates]
        if shapes == [tuple(weight.shape) for weight in weights]:
            return candidates
    return None


def save_backbone(model: tf.keras.Model, directory: str) -> None:
    """Writes the weights of the backbone, for `transfer.weights` of another run."""
    with tempfile.TemporaryDirectory() as folder:
        local = os.path.join(folder, WEIGHTS)
        model.get_layer(BACKBONE).save_weights(local)
        tf.io.gfile.makedirs(directory)
        tf.io.gfile.copy(local, os.path.join(directory, WEIGHTS), overwrite=True)
