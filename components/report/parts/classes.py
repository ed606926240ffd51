"""How well each class is recognised."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from components.report.contents import Confusion, Contents, natural

TITLE = "Classes"


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """How well one class is recognised, or an average of classes."""

    name: str
    images: int
    """Test images of the class."""
    precision: float | None
    """Share of the images given this class that have it; None when it was given to none."""
    recall: float | None
    """Share of the class's images that were given it; None when there are none."""
    f1: float | None
    """Harmonic mean of the two; None when there was nothing to find and nothing was found."""


def view(contents: Contents) -> dict[str, Any]:
    """`metrics` of every class, weakest first, and their `average`."""
    metrics = class_metrics(contents.confusion)
    return {
        "metrics": sorted(metrics, key=lambda one: (one.f1 or 0.0, natural(one.name))),
        "average": macro_average(metrics),
    }


def class_metrics(confusion: Confusion) -> list[ClassMetrics]:
    """Precision, recall and F1 of each class, in the order of the classes."""
    predicted = [sum(column) for column in zip(*confusion.counts, strict=True)]
    metrics = []
    for index, (name, row) in enumerate(zip(confusion.classes, confusion.counts, strict=True)):
        right, images = row[index], sum(row)
        metrics.append(
            ClassMetrics(
                name=name,
                images=images,
                precision=ratio(right, predicted[index]),
                recall=ratio(right, images),
                f1=ratio(2 * right, images + predicted[index]),
            )
        )
    return metrics


def macro_average(metrics: Sequence[ClassMetrics]) -> ClassMetrics:
    """Every class counts the same; a precision or F1 that is undefined counts as 0, as in scikit-learn."""
    present = [metric for metric in metrics if metric.images]

    def mean(values: Iterable[float | None]) -> float | None:
        known = [value or 0.0 for value in values]
        return sum(known) / len(known) if known else None

    return ClassMetrics(
        name="mean of the classes",
        images=sum(metric.images for metric in present),
        precision=mean(metric.precision for metric in present),
        recall=mean(metric.recall for metric in present),
        f1=mean(metric.f1 for metric in present),
    )


def ratio(part: float, whole: float) -> float | None:
    """part / whole, None when there is no whole."""
    return part / whole if whole else None
