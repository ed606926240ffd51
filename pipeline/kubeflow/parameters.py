"""Run parameters: settings that can be given anew with every run of a compiled pipeline.

In the spec a run parameter is an input of each task whose settings it is part of. TFX keeps those settings as JSON in
one property (`custom_config`, `config`), so a step is told where each of its parameters belongs, as an argument
NAME=PROPERTY or NAME=PROPERTY:KEY.PATH, and puts the value there before the executor sees it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

RUN_PARAMETERS = {
    "data_path": "data.path",
    "span": "data.span",
    "test_path": "data.test_path",
    "destination": "pusher.destination",
    "epochs": "trainer.epochs",
    "batch_size": "trainer.batch_size",
    "learning_rate": "trainer.learning_rate",
    "seed": "trainer.seed",
    "trials": "tuner.trials",
    "trial_epochs": "tuner.epochs",
    "min_accuracy": "evaluator.min_accuracy",
    "min_class_accuracy": "evaluator.min_class_accuracy",
    "max_accuracy_drop": "evaluator.max_accuracy_drop",
}
"""Names of the run parameters, and the settings they replace. One whose setting is None is not offered."""

INFERENCE_PARAMETERS = {"images": "images", "destination": "destination"}
"""Those of a batch inference."""

SETTINGS_IN = {("ImageExampleGen", "config"): "data", ("Evaluator", "config"): "evaluator"}
"""Properties that hold one section of the settings; the others hold the whole, or several by name."""


def places(run_parameters: Mapping[str, str], task: str, properties: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Where the run parameters belong in a task's properties.

    Args:
      run_parameters: RUN_PARAMETERS or INFERENCE_PARAMETERS.
      task: name of the task, which is the component's.
      properties: its properties by name, as TFX built them.

    Yields:
      (parameter, place): the place is PROPERTY or PROPERTY:KEY.PATH.
    """
    for name, setting in run_parameters.items():
        section, _, key = setting.rpartition(".")
        if key in properties:
            yield name, key
        for property_name in ("config", "custom_config"):
            if property_name not in properties:
                continue
            held = SETTINGS_IN.get((task, property_name))
            if held == section:
                yield name, f"{property_name}:{key}"
            elif held is None and _holds(json.loads(properties[property_name]), setting):
                yield name, f"{property_name}:{setting}"


def _holds(settings: Any, path: str) -> bool:
    """Whether there is something at a key path."""
    for key in path.split("."):
        if not isinstance(settings, dict) or key not in settings:
            return False
        settings = settings[key]
    return True


def apply(arguments: Iterable[str], properties: MutableMapping[str, Any]) -> None:
    """Moves the values of run parameters to their places, in the entrypoint.

    Args:
      arguments: NAME=PROPERTY:KEY.PATH, as `places` gives them.
      properties: the properties as KFP passes them, with the run parameters among them; changed in place.
    """
    placed = [argument.split("=", 1) for argument in arguments]
    for name, place in placed:
        property_name, _, path = place.partition(":")
        value = properties[name]
        if not path:
            properties[property_name] = value
        else:
            settings = json.loads(properties[property_name])
            *parents, last = path.split(".")
            holder = settings
            for parent in parents:
                holder = holder[parent]
            holder[last] = value
            properties[property_name] = json.dumps(settings)
    for name in {name for name, _ in placed} - {place for _, place in placed}:
        del properties[name]
