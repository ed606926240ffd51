"""The packages that computed all this."""

from typing import Any

from components.report.contents import Contents

TITLE = "Versions"


def view(contents: Contents) -> dict[str, Any]:
    """Everything is in the contents."""
    return {}
