"""What the pixels of each class are like, by split."""

from typing import Any, NamedTuple

from components.report.contents import LONG, Contents, Pixels

TITLE = "Pixels"


class Row(NamedTuple):
    """A class."""

    name: str
    splits: list[tuple[str, int, Pixels]]
    """(split, images, what was measured), of the splits in which it was."""


def view(contents: Contents) -> dict[str, Any] | None:
    """`rows`, `others` that are folded away, and whether every image is `grey`; None where nothing was measured."""
    rows = [
        Row(name, found)
        for name in contents.classes
        if (
            found := [
                (split, of.counts.get(name, 0), of.pixels[name])
                for split, of in contents.splits.items()
                if name in of.pixels
            ]
        )
    ]
    if not rows:
        return None
    shown = LONG // len(contents.splits)
    grey = all(len(set(pixels.channels)) == 1 for row in rows for _, _, pixels in row.splits)
    return {"rows": rows[:shown], "others": rows[shown:], "grey": grey}
