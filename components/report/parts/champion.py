"""Each class under champion and challenger."""

from dataclasses import dataclass
from typing import Any

from components.report.contents import Contents, Outcome, natural

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
    """`changes`, the greatest loss first."""
    return {"changes": changes(contents.outcome)}


def changes(outcome: Outcome) -> list[Change]:
    """Classes under champion and challenger, the greatest loss first."""
    found = [
        Change(name=name, champion=outcome.champion_by_class[name], challenger=accuracy)
        for name, accuracy in outcome.by_class.items()
        if name in outcome.champion_by_class
    ]
    return sorted(found, key=lambda change: (change.difference, natural(change.name)))
