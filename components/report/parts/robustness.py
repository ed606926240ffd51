"""How the model does on pictures that are not quite as they should be."""

from typing import Any

from components.report.contents import Contents

TITLE = "Robustness"


def view(contents: Contents) -> dict[str, Any] | None:
    """`rows` (change, scores, accuracy lost by it), the greatest loss first; None when it was not measured."""
    found = {one.name: one.scores for one in contents.evaluation.robustness}
    if "" not in found:
        return None
    plain = found.pop("")
    rows = sorted(
        ((name, scores, plain.accuracy.value - scores.accuracy.value) for name, scores in found.items()),
        key=lambda row: -row[2],
    )
    lowest = min(scores.accuracy.low for scores in [plain, *found.values()])
    return {"plain": plain, "rows": rows, "origin": int(lowest * 10) / 10}
