"""Images by class and split."""

from typing import Any, NamedTuple

from components.report.contents import LONG, Contents

TITLE = "Class balance"


class Row(NamedTuple):
    """A class, or, where its name is None, the classes that were left out."""

    name: str | None
    counts: list[int]
    """Images by split; of a row without a name, the number of classes that were left out."""


def view(contents: Contents) -> dict[str, Any]:
    """`rows` and, by split, `most`: the images of its largest class."""
    return {
        "rows": rows(contents),
        "most": [max(split.counts.values(), default=0) or 1 for split in contents.splits.values()],
    }


def rows(contents: Contents) -> list[Row]:
    """Every class; of many the largest and the smallest."""
    splits = list(contents.splits.values())
    found = [Row(name, [split.counts.get(name, 0) for split in splits]) for name in contents.classes]
    if len(found) <= LONG:
        return found
    found.sort(key=lambda row: -row.counts[0])
    ends = LONG // 2
    return [*found[:ends], Row(None, [len(found) - 2 * ends]), *found[-ends:]]
