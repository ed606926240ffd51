"""The splits: counts, sizes, formats, anomalies and the schema."""

from typing import Any

from components.report.contents import Contents

TITLE = ""


def view(contents: Contents) -> dict[str, Any]:
    """Everything is in the contents."""
    return {}
