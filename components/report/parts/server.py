"""How the model did in a server: the trial before the push."""

from typing import Any

from components.report.contents import Contents

TITLE = "In a server"


def view(contents: Contents) -> dict[str, Any] | None:
    """`trial`, as the InfraValidator wrote it; None where it was not tried."""
    trial = contents.read("infra_blessing", "infra.json")
    return {"trial": trial} if trial else None
