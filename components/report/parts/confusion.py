"""Which classes are taken for which."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.evaluator.evaluation import Evaluation
from components.report.contents import LONG, Contents, natural

TITLE = "Confusion"


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Test images by class and predicted class."""

    classes: Sequence[str]
    counts: Sequence[Sequence[int]]
    """counts[true][predicted], in the order of `classes`."""

    def pairs(self) -> list[tuple[str, str, int, float]]:
        """(true, predicted, images, their share of the true class) of every confusion there is, most frequent first."""
        found = [
            (self.classes[row], self.classes[column], count, count / sum(counts))
            for row, counts in enumerate(self.counts)
            for column, count in enumerate(counts)
            if count and row != column
        ]
        return sorted(found, key=lambda pair: (-pair[2], -pair[3], pair[0], pair[1]))

    def mistakes(self, index: int) -> int:
        """Images that the class lost to others or took from them."""
        return sum(self.counts[index]) + sum(row[index] for row in self.counts) - 2 * self.counts[index][index]

    def condensed(self, limit: int) -> "Confusion":
        """At most `limit` rows and columns: the classes with the most mistakes, all others as one."""
        if len(self.classes) <= limit:
            return self
        worst = sorted(range(len(self.classes)), key=lambda index: (-self.mistakes(index), index))[: limit - 1]
        groups = [[index] for index in sorted(worst)]
        groups.append([index for index in range(len(self.classes)) if index not in set(worst)])
        names = [self.classes[group[0]] for group in groups[:-1]]
        return Confusion(
            classes=[*names, f"{len(groups[-1])} other classes"],
            counts=[
                [sum(self.counts[row][column] for row in rows for column in columns) for columns in groups]
                for rows in groups
            ],
        )


def view(contents: Contents) -> dict[str, Any]:
    """`confusion`, of many classes those with the most mistakes; its `density`; `pairs`, the most frequent first."""
    confusion = confusion_of(contents.evaluation)
    condensed = confusion.condensed(LONG)
    return {
        "confusion": condensed,
        "density": density(len(condensed.classes)),
        "pairs": confusion.pairs(),
    }


def density(classes: int) -> str:
    """How tightly a matrix of so many classes is set."""
    return "" if classes <= 14 else "medium" if classes <= 24 else "dense"


def confusion_of(evaluation: Evaluation) -> Confusion:
    """The candidate's, the classes in the order people expect."""
    order = sorted(range(len(evaluation.classes)), key=lambda index: natural(evaluation.classes[index]))
    position = {index: place for place, index in enumerate(order)}
    counts = [[0] * len(order) for _ in order]
    for row, column, images in evaluation.confusion:
        counts[position[row]][position[column]] = images
    return Confusion(classes=[evaluation.classes[index] for index in order], counts=counts)
