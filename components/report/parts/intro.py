"""What was tested, and the metrics over all of it."""

from typing import Any

from components.report.contents import Contents

TITLE = ""


def view(contents: Contents) -> dict[str, Any]:
    """`metrics`: (name, estimate, what it says) of the candidate."""
    evaluation, model = contents.evaluation, contents.evaluation.candidate
    top_k = min(evaluation.top_k, len(evaluation.classes))
    return {
        "images": model.overall.images,
        "refused": model.refused,
        "log_loss": model.overall.log_loss,
        "metrics": [
            (f"Top-{top_k} accuracy", model.overall.top_k_accuracy),
            ("Balanced accuracy", model.balanced_accuracy),
            ("Macro F1", model.macro_f1),
            ("Macro AUC", model.macro_auc),
            ("Calibration error", model.overall.calibration_error),
        ],
    }
