"""The plot of a learning-rate sweep, for the report and for a file."""

import math
from collections.abc import Callable, Sequence

from trainer_module.sweep import Sweep

WIDTH, HEIGHT = 720, 420
"""Of the plot, in pixels."""
LEFT, TOP, RIGHT, BOTTOM = 64, 44, 700, 372
"""Its frame."""

Place = Callable[[float], float]
"""A value → where it is on an axis, in pixels."""


def plot(sweep: Sweep, suggested: float, configured: float) -> str:
    """Loss over rate, the rate on a logarithmic scale, as SVG."""
    finite = [pair for pair in zip(sweep.rates, sweep.losses, strict=True) if math.isfinite(pair[1])]
    low, high = min(loss for _, loss in finite), max(loss for _, loss in finite[:10])
    # What diverges at the end would flatten all that matters.
    low, high = low - 0.05 * (high - low), high + 0.25 * (high - low)
    first, last = math.log10(sweep.rates[0]), math.log10(sweep.rates[-1])

    def x(rate: float) -> float:
        return LEFT + (math.log10(rate) - first) / (last - first) * (RIGHT - LEFT)

    def y(loss: float) -> float:
        return BOTTOM - (min(loss, high) - low) / (high - low) * (BOTTOM - TOP)

    points = " ".join(f"{x(rate):.1f},{y(loss):.1f}" for rate, loss in finite)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14">Training loss while the learning rate rises</text>',
        *_grid(low, high, y, [10.0**power for power in range(math.ceil(first), math.floor(last) + 1)], x),
        f'<polyline points="{points}" fill="none" stroke="#1f6feb" stroke-width="2"/>',
        *_mark(x(suggested), f"suggested {suggested:.2g}", "#1a7f37", TOP + 12),
    ]
    if sweep.rates[0] <= configured <= sweep.rates[-1]:
        parts += _mark(x(configured), f"configured {configured:g}", "#999", TOP + 28)
    return "\n".join([*parts, "</svg>", ""])


def _grid(low: float, high: float, y: Place, rates: Sequence[float], x: Place) -> list[str]:
    lines = []
    for part in range(5):
        loss = low + (high - low) * part / 4
        lines += [
            f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y(loss):.1f}" y2="{y(loss):.1f}" stroke="#e5e5e5"/>',
            f'<text x="{LEFT - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:.2f}</text>',
        ]
    for rate in rates:
        lines.append(f'<text x="{x(rate):.1f}" y="{BOTTOM + 20}" text-anchor="middle">{rate:g}</text>')
    lines.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{BOTTOM + 40}" text-anchor="middle">learning rate</text>')
    return lines


def _mark(x: float, text: str, colour: str, y: float) -> list[str]:
    anchor, shift = ("end", -6) if x > (LEFT + RIGHT) / 2 else ("start", 6)
    return [
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM}" stroke="{colour}" stroke-dasharray="4 3"/>',
        f'<text x="{x + shift:.1f}" y="{y}" text-anchor="{anchor}" fill="{colour}">{text}</text>',
    ]
