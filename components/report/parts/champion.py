"""Each class under champion and challenger."""

from dataclasses import dataclass
from typing import Any

from components.evaluator.evaluation import Evaluation
from components.report.contents import Contents, natural

TITLE = "Champion and challenger"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One class under champion and challenger."""

    name: str
    champion: float
    challenger: float

    @property
    def difference(self) -> float:
        """Challenger minus champion."""
        return self.challenger - self.champion


def view(contents: Contents) -> dict[str, Any]:
    """`changes`, the greatest loss first, and the comparison over `all` images; both empty without a champion."""
    comparisons = contents.evaluation.comparisons
    return {"changes": changes(contents.evaluation), "all": comparisons[0] if comparisons else None}


def changes(evaluation: Evaluation) -> list[Change]:
    """Classes that both models have, the greatest loss first."""
    of_champion = evaluation.champion.by_class if evaluation.champion else {}
    found = [
        Change(name=name, champion=of_champion[name], challenger=accuracy)
        for name, accuracy in evaluation.candidate.by_class.items()
        if name in of_champion
    ]
    return sorted(found, key=lambda change: (change.difference, natural(change.name)))
