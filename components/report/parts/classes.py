"""How well each class is recognised."""

from typing import Any

from components.evaluator.evaluation import ClassMetrics
from components.report.contents import Contents, natural

TITLE = "Classes"


def view(contents: Contents) -> dict[str, Any]:
    """`metrics` of every class, weakest first; `origin`, where the axis of the F1 begins."""
    metrics = sorted(contents.evaluation.candidate.classes, key=weakness)
    lowest = min((one.f1.low for one in metrics if one.f1), default=0.0)
    return {"metrics": metrics, "origin": int(lowest * 10) / 10}


def weakness(metrics: ClassMetrics) -> tuple:
    """Sorts the weakest class first."""
    return (metrics.f1.value if metrics.f1 else 0.0, natural(metrics.name))
