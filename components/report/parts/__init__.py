"""The parts of the page, in its order.

A part is a module here and a template of the same name beside it. The module has

  TITLE               its heading; "" for the lead of a group, which has none
  view(contents)      the variables of its template, by name; None leaves the part out

and the template may use `page`, the whole `Contents`, the filters of `page.py`, and the macros of `macros.html.jinja`
and `charts.html.jinja`. A part about a file that a component wrote reads it with `contents.read(...)`. Nothing here
imports TFX or TensorFlow.
"""

from types import ModuleType
from typing import NamedTuple

from components.report.parts import (
    balance,
    calibration,
    champion,
    classes,
    configuration,
    confusion,
    curves,
    diagnosis,
    intro,
    issues,
    lineage,
    mistakes,
    pixels,
    pushes,
    robustness,
    samples,
    search,
    server,
    settings,
    sizes,
    slices,
    splits,
    versions,
)


class Group(NamedTuple):
    """A section of the page."""

    key: str
    """Its id, the target of links."""
    title: str
    parts: tuple[ModuleType, ...]


GROUPS = (
    Group("test", "Test results", (intro, confusion, classes, slices, calibration, mistakes, champion, robustness)),
    Group("training", "Training", (settings, curves, diagnosis, search)),
    Group("data", "Data", (splits, samples, balance, sizes, pixels, issues)),
    Group("serving", "Serving", (server, pushes)),
    Group("origin", "Origin", (lineage, versions, configuration)),
)
