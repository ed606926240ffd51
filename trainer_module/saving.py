"""Saving and restoring a network (handbook, part 10, "Model Saving/Restoring"): architecture, weights, or both.

The architecture is JSON and the weights are arrays: no pickle, and nothing that could run code is restored. For going
on with a training there are `checkpoints`; for serving there is `export`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

ARCHITECTURE, WEIGHTS = "architecture.json", "weights.h5"
TRUSTED = ("keras", "tf_keras", "trainer_module")
"""Packages whose classes an architecture may name."""
OPERATIONS = ("math.", "nn.", "__operators__.", "reshape", "concat", "cast", "image.resize")
"""TensorFlow functions that an architecture may call; others could write files."""


def save(model: tf.keras.Model, folder: str | Path) -> None:
    """Writes `architecture.json` and `weights.h5`."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    Path(folder, ARCHITECTURE).write_text(model.to_json(indent=1), encoding="utf-8")
    model.save_weights(str(Path(folder, WEIGHTS)), save_format="h5")


def restore(folder: str | Path) -> tf.keras.Model:
    """The network with its weights, uncompiled.

    Raises:
      ValueError: the architecture could run code.
    """
    model = restore_architecture(folder)
    model.load_weights(str(Path(folder, WEIGHTS)))
    return model


def restore_architecture(folder: str | Path) -> tf.keras.Model:
    """The network with fresh weights, uncompiled.

    Raises:
      ValueError: the architecture could run code.
    """
    text = Path(folder, ARCHITECTURE).read_text(encoding="utf-8")
    for danger in dangers(json.loads(text)):
        raise ValueError(f"{Path(folder, ARCHITECTURE)} is not restored: {danger}")
    return tf.keras.models.model_from_json(text)


def dangers(config: Any) -> Iterator[str]:
    """What in a serialized architecture could run code, a clause each."""
    if isinstance(config, list):
        for part in config:
            yield from dangers(part)
    if not isinstance(config, dict):
        return
    name, module = config.get("class_name"), config.get("module")
    if name in ("Lambda", "__lambda__"):
        yield "it has a layer of Python code (Lambda)"
    if name in ("TFOpLambda", "SlicingOpLambda"):
        function = str(config.get("config", {}).get("function"))
        if not function.startswith(OPERATIONS):
            yield f"it calls tf.{function}"
    if isinstance(name, str) and module is not None and str(module).split(".")[0] not in TRUSTED:
        yield f"it names {module}.{name}"
    for part in config.values():
        yield from dangers(part)
