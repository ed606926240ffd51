"""A few pictures of each class and split."""

from typing import Any

from components.report.contents import Contents

TITLE = "Samples"


def view(contents: Contents) -> dict[str, Any]:
    """`sampled`: the classes with pictures; `omitted`: how many have none."""
    with_pictures = {name for split in contents.splits.values() for name in split.samples}
    sampled = [name for name in contents.classes if name in with_pictures]
    return {"sampled": sampled, "omitted": len(contents.classes) - len(sampled)}
