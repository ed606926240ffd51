"""The Tuner's trials, or where the hyperparameters come from."""

from typing import Any

from components.report.contents import Contents
from trainer_module.tuner_config import SWEEP

TITLE = "Search"


def view(contents: Contents) -> dict[str, Any]:
    """The settings that were searched, by key path, and the learning-rate sweep before them."""
    names = list(contents.trials[0]["values"]) if contents.trials else []
    return {"names": names, "sweep": contents.read("tuner_results", SWEEP)}
