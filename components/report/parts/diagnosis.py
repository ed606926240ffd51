"""What the Trainer found wrong, and right, with its own history."""

from typing import Any

from components.report.contents import Contents

TITLE = "Diagnosis"


def view(contents: Contents) -> dict[str, Any] | None:
    """`findings` (rule, epoch, evidence, advice) and `good` (sentences)."""
    return contents.read("model_run", "diagnostics.json")
