"""The page, from its contents."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from components.report import charts
from components.report.contents import (
    Contents,
    Outcome,
    changes,
    class_metrics,
    interval,
    macro_average,
    natural,
)

PAGE = "index.html"

LONG = 50
"""A table of more classes than this is cut or folded."""


class Balance(NamedTuple):
    """A row of the class balance; `name` is None where classes were left out."""

    name: str | None
    counts: Sequence[int]
    """Images by split; of a row without a name, the number of classes that were left out."""


def render(contents: Contents) -> str:
    """The page as HTML, whole: nothing in it is fetched from elsewhere."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        # Class names, file names and settings are untrusted text.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "share": share, "signed": signed, "plain": plain}
    return environment.get_template("page.html.jinja").render(page=contents, long=LONG, **views(contents))


def views(contents: Contents) -> dict[str, Any]:
    """What the template needs besides the contents themselves."""
    metrics = class_metrics(contents.confusion)
    classes = sorted({name for split in contents.splits.values() for name in split.counts}, key=natural)
    condensed = contents.confusion.condensed(LONG)
    history = contents.history
    extents: dict[tuple[int, int], int] = {}
    for split in contents.splits.values():
        for extent, images in split.extents.items():
            extents[extent] = extents.get(extent, 0) + images
    return {
        "classes": classes,
        "interval": interval(contents.outcome.accuracy, contents.outcome.images),
        "ruler": charts.ruler(models(contents.outcome), contents.outcome.threshold),
        "metrics": sorted(metrics, key=lambda one: (one.f1 or 0.0, natural(one.name))),
        "average": macro_average(metrics),
        "confusion": condensed,
        "confusion_density": density(len(condensed.classes)),
        "pairs": contents.confusion.pairs(),
        "changes": changes(contents.outcome),
        "curves": [
            charts.line_chart("Loss", {"train": history["loss"], "eval": history["val_loss"]}, lowest_is_best=True),
            charts.line_chart(
                "Accuracy", {"train": history["accuracy"], "eval": history["val_accuracy"]}, lowest_is_best=False
            ),
        ],
        "balance": balance(contents, classes),
        "most": [max(split.counts.values(), default=0) or 1 for split in contents.splits.values()],
        "sizes": charts.size_plot(extents, contents.input_size) if len(extents) > 1 else None,
        "uri_root": shared_folder([one.uri for one in contents.lineage]),
    }


def models(outcome: Outcome) -> list[tuple[str, float, tuple[float, float]]]:
    """Rows of the ruler."""
    rows = [("this model", outcome.accuracy, interval(outcome.accuracy, outcome.images))]
    if outcome.champion_accuracy is not None:
        accuracy = outcome.champion_accuracy
        rows.append(("champion", accuracy, interval(accuracy, outcome.images)))
    return rows


def balance(contents: Contents, classes: Sequence[str]) -> list[Balance]:
    """Images by class and split; of many classes the largest and the smallest."""
    splits = list(contents.splits.values())
    rows = [Balance(name, [split.counts.get(name, 0) for split in splits]) for name in classes]
    if len(rows) <= LONG:
        return rows
    rows.sort(key=lambda row: -row.counts[0])
    ends = LONG // 2
    return [*rows[:ends], Balance(None, [len(rows) - 2 * ends]), *rows[-ends:]]


def density(classes: int) -> str:
    """How tightly a confusion matrix of so many classes is set."""
    return "" if classes <= 14 else "medium" if classes <= 24 else "dense"


def shared_folder(uris: Sequence[str]) -> str:
    """The folder that all of them are in, "" when there is none; commonpath would break s3://."""
    return os.path.commonprefix(uris).rpartition("/")[0]  # noqa: RUF071


def count(number: int) -> str:
    """10,000."""
    return f"{number:,}"


def share(value: float | None, digits: int = 3) -> str:
    """0.912, or a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def signed(value: float, digits: int = 4) -> str:
    """+0.0120 or, with a real minus, −0.0120."""
    text = f"{value:+.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def plain(value: Any) -> str:
    """A setting's value as a person would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(plain(part) for part in value) if isinstance(value, list | tuple) else str(value)
