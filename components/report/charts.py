"""Geometry of the page's charts, in SVG units; `charts.html.jinja` draws it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.report.contents import STEPS_PER_OCTAVE


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """A series."""

    name: str
    path: str
    """SVG path data."""
    end: tuple[float, float]
    """Its last point."""
    label_y: float
    """Where its name stands, clear of the other names."""
    values: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class LineChart:
    """Values over epochs."""

    title: str
    width: float
    height: float
    frame: tuple[float, float, float, float]
    """Left, top, right and bottom of the plot."""
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    lines: Sequence[Line]
    best: tuple[float, float, str]
    """The best evaluation: x, y and what to say about it."""


def line_chart(title: str, series: Mapping[str, Sequence[float]], *, lowest_is_best: bool) -> LineChart:
    """A chart of one or two series over epochs 1, 2, …

    Args:
      title: what is measured.
      series: values per epoch by name, at least one; the best epoch is that of the last one.
      lowest_is_best: whether that is its minimum or its maximum.
    """
    width, height, frame = 440.0, 250.0, (42.0, 14.0, 386.0, 214.0)
    left, top, right, bottom = frame
    every = [value for values in series.values() for value in values if math.isfinite(value)] or [0.0]
    y_values = ticks(min(every), max(every), 5)
    epochs = max(len(values) for values in series.values())
    low, high = min(y_values[0], *every), max(y_values[-1], *every)

    def x(epoch: float) -> float:
        return round(left + (right - left) * ((epoch - 1) / (epochs - 1) if epochs > 1 else 0.5), 1)

    def y(value: float) -> float:
        # A loss that ran away is drawn at the top.
        return round(bottom - (bottom - top) * ((value if math.isfinite(value) else high) - low) / (high - low), 1)

    labels = apart([y(values[-1]) for values in series.values()], 15)
    lines = [
        Line(
            name=name,
            path="M" + "L".join(f"{x(epoch)},{y(value)}" for epoch, value in enumerate(values, 1)),
            end=(x(len(values)), y(values[-1])),
            label_y=label_y,
            values=values,
        )
        for (name, values), label_y in zip(series.items(), labels, strict=True)
    ]
    name, watched = list(series.items())[-1]
    known = [value for value in watched if math.isfinite(value)] or watched[:1]
    index = watched.index(min(known) if lowest_is_best else max(known))
    kind = "lowest" if lowest_is_best else "highest"
    return LineChart(
        title=title,
        width=width,
        height=height,
        frame=frame,
        x_ticks=[
            Tick(at=x(value), label=f"{value:.0f}")
            for value in sorted({1.0, *ticks(1, epochs, 6)})
            if value == int(value) and 1 <= value <= epochs
        ],
        y_ticks=[Tick(at=y(value), label=f"{value:g}") for value in y_values],
        lines=lines,
        best=(x(index + 1), y(watched[index]), f"{kind} {name}: {watched[index]:.4f} in epoch {index + 1}"),
    )


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model on the ruler."""

    name: str
    y: float
    at: float
    interval: tuple[float, float]
    label: str


@dataclass(frozen=True, kw_only=True)
class Ruler:
    """Accuracies along one axis, with the threshold across it."""

    width: float
    height: float
    ticks: Sequence[Tick]
    threshold: Tick
    rows: Sequence[Row]
    base: float
    """Where the axis runs."""


def ruler(models: Sequence[tuple[str, float, tuple[float, float]]], threshold: float) -> Ruler:
    """A row per model: (name, accuracy, its confidence interval)."""
    left, right, width, top, pitch = 84.0, 500.0, 560.0, 34.0, 30.0
    marks = ticks(min([threshold, *(model[2][0] for model in models)]), max(model[2][1] for model in models), 5)
    low = min(marks[0], threshold, *(model[2][0] for model in models))
    high = max(marks[-1], threshold, *(model[2][1] for model in models))

    def x(value: float) -> float:
        return round(left + (right - left) * (value - low) / ((high - low) or 1), 1)

    base = top + pitch * len(models)
    return Ruler(
        width=width,
        height=base + 26,
        ticks=[Tick(at=x(value), label=f"{value:g}") for value in marks if value <= 1],
        threshold=Tick(at=x(threshold), label=f"threshold {threshold:.4f}"),
        rows=[
            Row(
                name=name,
                y=top + pitch * (index + 0.5),
                at=x(value),
                interval=(x(lower), x(upper)),
                label=f"{value:.4f}",
            )
            for index, (name, value, (lower, upper)) in enumerate(models)
        ],
        base=base,
    )


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


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from at most `low` to at least `high`, about as many as asked for."""
    if high <= low:
        low, high = low - (abs(low) * 0.05 or 0.5), high + (abs(high) * 0.05 or 0.5)
    raw = (high - low) / max(about - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def apart(places: Sequence[float], distance: float) -> list[float]:
    """The places of two labels, moved apart when they are closer than the distance."""
    if len(places) != 2 or abs(places[0] - places[1]) >= distance:
        return list(places)
    middle, half = sum(places) / 2, distance / 2
    return [middle - half, middle + half] if places[0] <= places[1] else [middle + half, middle - half]
