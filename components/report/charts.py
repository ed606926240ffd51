"""Geometry of the page's charts, in SVG units; `charts.html.jinja` draws it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


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
