"""The Tuner's trials, or where the hyperparameters come from."""

from typing import Any

from components.report.contents import Contents

TITLE = "Search"


def view(contents: Contents) -> dict[str, Any]:
    """Everything is in the contents."""
    return {}
