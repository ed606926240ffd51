"""Which classes are taken for which."""

from typing import Any

from components.report.contents import LONG, Contents

TITLE = "Confusion"


def view(contents: Contents) -> dict[str, Any]:
    """`confusion`, of many classes those with the most mistakes; its `density`; `pairs`, the most frequent first."""
    condensed = contents.confusion.condensed(LONG)
    return {
        "confusion": condensed,
        "density": density(len(condensed.classes)),
        "pairs": contents.confusion.pairs(),
    }


def density(classes: int) -> str:
    """How tightly a matrix of so many classes is set."""
    return "" if classes <= 14 else "medium" if classes <= 24 else "dense"
