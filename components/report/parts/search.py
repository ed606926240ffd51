"""The Tuner's trials, or where the hyperparameters come from."""

from typing import Any

from components.report.contents import Contents

TITLE = "Search"


def view(contents: Contents) -> dict[str, Any]:
    """The settings that were searched, by key path."""
    return {"names": list(contents.trials[0]["values"]) if contents.trials else []}
