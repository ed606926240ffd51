"""Whether the model is right as often as it says."""

from typing import Any, NamedTuple

from components.evaluator.evaluation import ModelResult
from components.report.contents import Contents

TITLE = "Calibration"

LEFT, TOP, SIDE = 44.0, 12.0, 300.0
"""Of the plot, in SVG units; it is square."""


class Point(NamedTuple):
    """A bin of the plot."""

    x: float
    y: float
    low: float
    high: float
    radius: float
    label: str


def view(contents: Contents) -> dict[str, Any]:
    """`points`, their `error`, and the sentence on whether the model is too sure of itself."""
    model = contents.evaluation.candidate
    bins = model.calibration
    most = max((one.images for one in bins), default=1)
    return {
        "frame": (LEFT, TOP, LEFT + SIDE, TOP + SIDE),
        "ticks": [(position(value), TOP + SIDE - SIDE * value, f"{value:g}") for value in (0, 0.25, 0.5, 0.75, 1)],
        "points": [
            Point(
                x=position(one.confidence),
                y=TOP + SIDE * (1 - one.accuracy.value),
                low=TOP + SIDE * (1 - one.accuracy.low),
                high=TOP + SIDE * (1 - one.accuracy.high),
                radius=round(3 + 7 * (one.images / most) ** 0.5, 1),
                label=f"{one.images:,} images at confidence {one.confidence:.3f}: {one.accuracy.value:.3f} right",
            )
            for one in bins
        ],
        "error": model.overall.calibration_error,
        "bias": bias(model),
        "bins": bins,
    }


def position(confidence: float) -> float:
    """Along the plot."""
    return round(LEFT + SIDE * confidence, 1)


def bias(model: ModelResult) -> float:
    """Mean confidence minus accuracy: above 0 the model is too sure of itself."""
    images = sum(one.images for one in model.calibration) or 1
    return sum(one.images * one.confidence for one in model.calibration) / images - model.overall.accuracy.value
