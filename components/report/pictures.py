"""Image files → small pictures inside the page."""

import base64
import io

from PIL import Image

from components.report.contents import Picture


def picture(encoded: bytes, caption: str, side: int) -> Picture:
    """A picture whose longer side takes about `side` CSS pixels.

    Small images keep their pixels and are enlarged by a whole number; large ones are scaled down to twice `side`, for
    fine displays. As in the transform, alpha is dropped and EXIF's orientation is not applied.

    Args:
      encoded: the file's bytes.
      caption: what to call it.
      side: CSS pixels.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            image.draft("RGB", (2 * side, 2 * side))
            shown = eight_bit(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return Picture(uri="", width=side, height=side, pixelated=False, caption=caption)
    longer = max(shown.size)
    if longer > 2 * side:
        shown.thumbnail((2 * side, 2 * side), Image.Resampling.LANCZOS)
    scale = float(max(round(side / longer), 1)) if longer <= side * 1.25 else side / max(shown.size)
    width, height = (max(round(length * scale), 1) for length in shown.size)
    return Picture(uri=data_uri(shown, scale), width=width, height=height, pixelated=scale > 1, caption=caption)


def eight_bit(image: Image.Image) -> Image.Image:
    """Any mode → grey or RGB of 8 bits."""
    if image.mode.startswith("I"):
        return image.point(lambda value: value / 257).convert("L")
    if image.mode in ("1", "L", "LA"):
        return image.convert("L")
    return image.convert("RGBA").convert("RGB") if "transparency" in image.info else image.convert("RGB")


def data_uri(image: Image.Image, scale: float) -> str:
    """JPEG for what was scaled down, PNG for what must keep its pixels."""
    kind = "JPEG" if scale < 1 else "PNG"
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=82, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
