"""Loss and accuracy over the epochs."""

from typing import Any

from components.report.charts import line_chart
from components.report.contents import Contents

TITLE = "Curves"


def view(contents: Contents) -> dict[str, Any]:
    """`curves`: a chart each."""
    history = contents.history
    return {
        "curves": [
            line_chart("Loss", {"train": history["loss"], "eval": history["val_loss"]}, lowest_is_best=True),
            line_chart(
                "Accuracy", {"train": history["accuracy"], "eval": history["val_accuracy"]}, lowest_is_best=False
            ),
        ]
    }
