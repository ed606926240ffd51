"""Small pictures of images, for pages."""

import base64
import io
import warnings

from PIL import Image

SIDE = 96
"""Pixels of the longer side, at most."""


def thumbnail(encoded: bytes) -> str:
    """A small PNG as a data: URI; "" when Pillow cannot decode it."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(encoded)) as image:
            image.draft("RGB", (SIDE, SIDE))
            small = image.convert("RGB")
    except Exception:  # Pillow's plugins raise whatever a damaged file makes them
        return ""
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
