"""The mistakes that the model was surest of, as pictures."""

from typing import Any

from components.report.contents import Contents

TITLE = "Confident mistakes"


def view(contents: Contents) -> dict[str, Any]:
    """Everything is in the contents."""
    return {}
