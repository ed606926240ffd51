"""One image on its way from its source to its record."""

from typing import NamedTuple


class Item(NamedTuple):
    """One image that was read, or why it could not be."""

    path: str
    label: str
    encoded: bytes
    group: str = ""
    split: str = ""
    trouble: str = ""
    """A reason of `quarantine`, and a colon with more where there is more to say."""
