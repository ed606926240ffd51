"""The splits: counts, sizes, formats, anomalies and the schema."""

from typing import Any

from components.report.contents import Contents
from components.span_window.spans import told

TITLE = ""


def view(contents: Contents) -> dict[str, Any]:
    """`window`: the spans that were trained on and the one the splits tell of, "" where that is all there is."""
    *earlier, newest = contents.spans or [0]
    return {
        "window": f"The model was trained on {told(contents.spans)}; what follows is of span {newest}."
        if earlier
        else ""
    }
