"""Every version at the serving destination: who, when, why, and how good it was."""

from typing import Any

from components.report.contents import Contents

TITLE = "Pushes"


def view(contents: Contents) -> dict[str, Any] | None:
    """`pushes`, the newest first; None where nothing was ever pushed."""
    return {"pushes": contents.pushes} if contents.pushes else None
