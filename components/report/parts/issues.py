"""What is wrong with the data: copies, contradictions, what was left out, and whether the splits are alike."""

from typing import Any

from components.image_example_gen.splits import chi_square
from components.report.contents import Contents

TITLE = "Copies, contradictions and what was left out"
SHOWN = 12
"""Groups of alike images on the page."""
FILES = 20
"""Files that were left out, likewise."""


def view(contents: Contents) -> dict[str, Any] | None:
    """`duplicates` and `quarantine`, as ImageExampleGen wrote them, and the chi-square test of the splits."""
    duplicates = contents.read("quarantine", "duplicates.json")
    quarantine = contents.read("quarantine", "quarantine.json")
    if duplicates is None or quarantine is None:
        return None
    statistic, freedom, probability = chi_square({name: split.counts for name, split in contents.splits.items()})
    return {
        "duplicates": duplicates,
        "groups": duplicates["listed"][:SHOWN],
        "left_out": quarantine["left_out"][:FILES],
        "images": quarantine["images"],
        "reasons": quarantine["reasons"],
        "chi": {"statistic": statistic, "freedom": freedom, "probability": probability},
    }
