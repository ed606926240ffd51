"""Width against height of the images."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.report.charts import Tick, ticks
from components.report.contents import STEPS_PER_OCTAVE, Contents

TITLE = "Sizes and formats"


def view(contents: Contents) -> dict[str, Any]:
    """`sizes`: the plot; None where all images have one size."""
    extents: Counter[tuple[int, int]] = Counter()
    for split in contents.splits.values():
        extents.update(split.extents)
    return {"sizes": size_plot(extents, contents.input_size) if len(extents) > 1 else None}


@dataclass(frozen=True, kw_only=True)
class Dot:
    """Images of about one size."""

    x: float
    y: float
    radius: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar of a marginal histogram."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, kw_only=True)
class SizePlot:
    """Width against height with a histogram of each, on logarithmic axes."""

    width: float
    height: float
    frame: tuple[float, float, float, float]
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    dots: Sequence[Dot]
    bars: Sequence[Bar]
    input_at: tuple[float, float]
    input_label: str


def size_plot(extents: Mapping[tuple[int, int], int], input_size: tuple[int, int]) -> SizePlot:
    """The sizes of the images and that of the model's input.

    Args:
      extents: images by (width, height), each side as `contents.size_step`.
      input_size: width and height in pixels.
    """
    width, height, frame = 560.0, 490.0, (62.0, 72.0, 484.0, 450.0)
    left, top, right, bottom = frame
    target = [STEPS_PER_OCTAVE * math.log2(side) for side in input_size]
    x_low, x_high = span([pair[0] for pair in extents], target[0])
    y_low, y_high = span([pair[1] for pair in extents], target[1])

    def x(step: float) -> float:
        return round(left + (right - left) * (step - x_low) / (x_high - x_low), 1)

    def y(step: float) -> float:
        return round(bottom - (bottom - top) * (step - y_low) / (y_high - y_low), 1)

    most = max(extents.values())
    dots = [
        Dot(
            x=x(columns),
            y=y(rows),
            radius=round(max(14 * math.sqrt(count / most), 1.5), 1),
            label=f"about {pixels(columns)} by {pixels(rows)} px: {count:,}",
        )
        for (columns, rows), count in sorted(extents.items(), key=lambda item: -item[1])
    ]
    by_width, by_height = marginal(extents, 0), marginal(extents, 1)
    bars = [
        Bar(x=x(step - 0.45), y=top - 8 - size, width=x(step + 0.45) - x(step - 0.45), height=size, label=label)
        for step, size, label in by_width
    ] + [
        Bar(x=right + 8, y=y(step + 0.45), width=size, height=y(step - 0.45) - y(step + 0.45), label=label)
        for step, size, label in by_height
    ]
    return SizePlot(
        width=width,
        height=height,
        frame=frame,
        x_ticks=[Tick(at=x(STEPS_PER_OCTAVE * math.log2(value)), label=f"{value:,}") for value in sides(x_low, x_high)],
        y_ticks=[Tick(at=y(STEPS_PER_OCTAVE * math.log2(value)), label=f"{value:,}") for value in sides(y_low, y_high)],
        dots=dots,
        bars=bars,
        input_at=(x(target[0]), y(target[1])),
        input_label=f"model input {input_size[0]} by {input_size[1]}",
    )


def marginal(extents: Mapping[tuple[int, int], int], axis: int) -> list[tuple[int, float, str]]:
    """(step, length of the bar, label) of the histogram along one axis."""
    counts: dict[int, int] = {}
    for pair, count in extents.items():
        counts[pair[axis]] = counts.get(pair[axis], 0) + count
    most, side = max(counts.values()), ("width", "height")[axis]
    return [
        (step, round(max(56 * count / most, 0.8), 1), f"{side} about {pixels(step)} px: {count:,}")
        for step, count in sorted(counts.items())
    ]


def span(steps: Sequence[int], target: float) -> tuple[float, float]:
    """Ends of an axis that shows every step and the target, at least an octave long."""
    low, high = min([*steps, target]) - 1.5, max([*steps, target]) + 1.5
    missing = max(STEPS_PER_OCTAVE - (high - low), 0) / 2
    return low - missing, high + missing


def sides(low: float, high: float) -> list[int]:
    """Round lengths in pixels on an axis of steps: 1, 2 and 5 times powers of ten, or finer ones on a short axis."""
    first, last = 2 ** (low / STEPS_PER_OCTAVE), 2 ** (high / STEPS_PER_OCTAVE)
    if last / first < 6:
        return [round(value) for value in ticks(first, last, 6) if first <= value <= last and value >= 1]
    return [
        value for power in range(6) for value in (10**power, 2 * 10**power, 5 * 10**power) if first <= value <= last
    ]


def pixels(step: int) -> str:
    """A step as a length."""
    return f"{round(2 ** (step / STEPS_PER_OCTAVE)):,}"
