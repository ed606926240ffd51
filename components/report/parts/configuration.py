"""The configuration, as it was resolved."""

from typing import Any

from components.report.contents import Contents

TITLE = "Configuration"


def view(contents: Contents) -> dict[str, Any]:
    """Everything is in the contents."""
    return {}
