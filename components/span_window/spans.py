"""Spans in words."""

from collections.abc import Sequence


def told(spans: Sequence[int]) -> str:
    """span 4; spans 2-4; spans 1, 3, 4."""
    if len(spans) == 1:
        return f"span {spans[0]}"
    if spans[-1] - spans[0] == len(spans) - 1:
        return f"spans {spans[0]}-{spans[-1]}"
    return f"spans {', '.join(map(str, spans))}"
