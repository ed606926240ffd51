"""Accuracy by what the images have in common."""

from typing import Any

from components.evaluator.config import LABEL
from components.evaluator.evaluation import SliceScores
from components.report.contents import LONG, Contents, natural

TITLE = "Slices"


def view(contents: Contents) -> dict[str, Any] | None:
    """`groups`: (features, slices, how many more there are) by slicing, the classes' own aside.

    A slicing into a single slice says nothing; None where no other is left.
    """
    of_keys: dict[tuple[str, ...], list[SliceScores]] = {}
    for one in contents.evaluation.candidate.slices:
        of_keys.setdefault(tuple(name for name, _ in one.slice), []).append(one)
    groups = [
        (keys, sorted(slices, key=order)[:LONG], max(len(slices) - LONG, 0))
        for keys, slices in sorted(of_keys.items(), key=lambda item: len(item[0]))
        if keys != (LABEL,) and len(slices) > 1
    ]
    if not groups:
        return None
    shown = [one for _, slices, _ in groups for one in slices]
    differences = {one.slice: one for one in contents.evaluation.comparisons}
    lowest = min(one.scores.accuracy.low for one in shown)
    return {"groups": groups, "origin": int(lowest * 10) / 10, "differences": differences}


def order(one: SliceScores) -> tuple:
    """A cross comes weakest first, a single feature in the order of its values."""
    values = [natural(value.replace(",", "")) for _, value in one.slice]
    return (one.scores.accuracy.value, values) if len(values) > 1 else (0.0, values)
