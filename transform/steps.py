"""The steps from a decoded image to the model's input: a list a person can read aloud, checked when it is loaded.

    steps: [orient, flatten(white), crop(0.9), resize, pad(reflect)]

reads: turn the image as its EXIF orientation says, lay what is transparent on white, cut the middle 90 % out, resize
it as large as fits into the target, fill the rest with its reflection.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Literal

COLOURS = {"black": (0, 0, 0), "grey": (128, 128, 128), "white": (255, 255, 255)}
INTERPOLATIONS = ("auto", "area", "bicubic", "bilinear")

Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the steps ask for."""

    orient: bool = False
    """Turn and mirror as the EXIF orientation says; without it pixels stay as they are stored."""
    background: Colour | None = None
    """RGB that transparent pixels are laid on; None drops alpha."""
    crops: tuple[float | Literal["aspect"], ...] = ()
    """In order: a share of both sides, in (0, 1), or the target's aspect ratio; the middle is kept."""
    interpolation: str = "auto"
    """One of `INTERPOLATIONS`."""
    pad: Colour | Literal["edge", "reflect"] | None = None
    """What fills the target beside an image of another aspect ratio; None stretches the image instead."""


def read_steps(steps: list[str]) -> Plan:
    """Steps as they are written → what they ask for.

    Args:
      steps: in order, each a name, or a name and an argument in parentheses:

        - `orient`: turns and mirrors the image as its EXIF orientation says.
        - `flatten`, `flatten(COLOUR)`: lays transparent pixels on black, or on COLOUR. Without it alpha is dropped.
        - `crop`: cuts the middle out, as large as the target's aspect ratio allows.
        - `crop(SHARE)`: cuts the middle out, SHARE of both sides.
        - `resize`, `resize(INTERPOLATION)`: to the target's size, or, where `pad` follows, as large as fits into it.
          `auto` is area where a side shrinks and bicubic where it grows (handbook, part 10).
        - `pad`, `pad(COLOUR)`, `pad(edge)`, `pad(reflect)`: fills the rest of the target with black, with COLOUR, with
          the border's pixels or with the image's reflection; the image stays in the middle.

        COLOUR is black, grey, white or #rrggbb.

    Raises:
      ValueError: a step is unknown, repeated or out of place, or its argument is refused; says which and why.
    """
    plan: dict = {"crops": ()}
    seen: list[str] = []
    for step in steps:
        name, argument = _split(step)
        if name in seen and not (name == "crop" and "resize" not in seen):
            raise ValueError(f"{step} comes twice" if name != "crop" else "crop comes after resize; put it before")
        if name == "pad" and seen[-1:] != ["resize"]:
            raise ValueError("pad fills what resize leaves free, so it comes right after resize")
        if "resize" in seen and name != "pad":
            raise ValueError(f"{step} comes after resize; put it before")
        seen.append(name)
        if name == "orient":
            if argument:
                raise ValueError(f"{step}: orient takes no argument")
            if plan["crops"]:
                raise ValueError("orient comes after crop; put it first, or an image that is turned is cut wrongly")
            plan["orient"] = True
        elif name == "flatten":
            plan["background"] = _colour(step, argument or "black")
        elif name == "crop":
            plan["crops"] += (_share(step, argument) if argument else "aspect",)
        elif name == "resize":
            plan["interpolation"] = _one_of(step, argument or "auto", INTERPOLATIONS)
        else:
            plan["pad"] = argument if argument in ("edge", "reflect") else _colour(step, argument or "black")
    if "resize" not in seen:
        raise ValueError("there is no resize; every image must come to the target's size")
    return Plan(**plan)


NAMES = ("orient", "flatten", "crop", "resize", "pad")


def _split(step: str) -> tuple[str, str]:
    match = re.fullmatch(r"\s*([a-z_]+)\s*(?:\(\s*([^()]*?)\s*\))?\s*", step)
    name = match[1] if match else step
    if not match or name not in NAMES:
        nearest = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(NAMES)}"
        raise ValueError(f"{step!r} is no step; {hint}")
    return name, match[2] or ""


def _one_of(step: str, argument: str, allowed: tuple[str, ...]) -> str:
    if argument not in allowed:
        raise ValueError(f"{step}: {argument!r} is none of {', '.join(allowed)}")
    return argument


def _share(step: str, argument: str) -> float:
    try:
        share = float(argument)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise ValueError(f"{step}: {argument!r} is no share of the image between 0 and 1")
    return share


def _colour(step: str, argument: str) -> Colour:
    if argument in COLOURS:
        return COLOURS[argument]
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", argument):
        raise ValueError(f"{step}: {argument!r} is no colour; give {', '.join(COLOURS)} or #rrggbb")
    red, green, blue = bytes.fromhex(argument[1:])
    return red, green, blue
