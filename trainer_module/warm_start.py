"""Continuous learning: begin with the weights of a saved model, such as the one that is being served."""

import hashlib
import json
import logging
import os
from collections import deque

import tensorflow as tf

from trainer_module.model_card import EXTRA, PROVENANCE

log = logging.getLogger("tfx_vision.training")

WEIGHTS = "weights"
"""The attribute of the exported module that has them."""
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
"""What TensorFlow's checkpoints put behind the path of an object."""


def warm_start(model: tf.keras.Model, saved_model: str | None, classes: list[str]) -> None:
    """Takes the weights that fit, layer by layer; the classifier's only if the classes are the same.

    Only numbers are read, from the saved model's variables; nothing of its graph is loaded.

    Args:
      model: the network to begin with.
      saved_model: folder of a saved model that `export` wrote; None, or one that is not there, changes nothing.
      classes: names of the classes, in the order of the indices.
    """
    if not saved_model or not tf.io.gfile.exists(saved_model):
        return
    reader = tf.train.load_checkpoint(os.path.join(saved_model, "variables", "variables"))
    shapes = reader.get_variable_to_shape_map()
    head = {id(variable) for variable in model.layers[-1].weights}
    same_classes = classes_of(saved_model) == classes
    taken = 0
    for path, variable in weights_by_path(model).items():
        name = f"{WEIGHTS}/{path}{VALUE}"
        fits = shapes.get(name) == variable.shape.as_list()
        if fits and (same_classes or id(variable) not in head):
            variable.assign(reader.get_tensor(name))
            taken += 1
    total = len(model.weights)
    log.info("warm start: %d of %d weights are the champion's", taken, total)
    if not taken:
        log.warning("warm start: no weight of the champion fits this network; training begins anew")


def identity_of(saved_model: str | None) -> str | None:
    """SHA-256 that changes with the weights: of the index of the variables, which has a checksum of each."""
    index = os.path.join(saved_model or "", "variables", "variables.index")
    if not saved_model or not tf.io.gfile.exists(index):
        return None
    with tf.io.gfile.GFile(index, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def classes_of(saved_model: str) -> list[str] | None:
    """Names of the classes of a saved model, None when it does not say."""
    file = os.path.join(saved_model, EXTRA, PROVENANCE)
    if not tf.io.gfile.exists(file):
        return None
    with tf.io.gfile.GFile(file) as opened:
        return json.load(opened)["classes"]


def weights_by_path(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """A network's weights by their places in it, such as "layer_with_weights-0|kernel".

    `export` puts them under these names: Keras's own, in a saved model, change with what is frozen.
    """
    view = tf.train.TrackableView(model)
    wanted = {id(variable) for variable in model.weights}
    found: dict[str, tf.Variable] = {}
    seen, queue = {id(model)}, deque([("", model)])
    while queue:
        path, node = queue.popleft()
        for name, child in view.children(node).items():
            if id(child) in seen:
                continue
            seen.add(id(child))
            here = f"{path}|{name}" if path else name
            if id(child) in wanted:
                found[here] = child
            queue.append((here, child))
    return found
