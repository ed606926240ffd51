"""The page, from its contents."""

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from components.evaluator.evaluation import Estimate, Evaluation
from components.report import charts
from components.report.contents import LONG, Contents
from components.report.parts import GROUPS

PAGE = "index.html"


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
    environment.filters |= {"count": count, "share": share, "interval": interval, "signed": signed, "plain": plain}
    environment.globals |= {"page": contents, "long": LONG}
    return environment.get_template("page.html.jinja").render(
        groups=[group for group in render_groups(contents, environment) if group["parts"]],
        ruler=charts.ruler(models(contents.evaluation), contents.outcome.threshold),
    )


def render_groups(contents: Contents, environment: jinja2.Environment) -> list[dict[str, Any]]:
    """`key`, `title` and `parts` of each section; `key`, `title` and `html` of each part that has something to say."""
    groups = []
    for group in GROUPS:
        parts = []
        for part in group.parts:
            variables = part.view(contents)
            if variables is not None:
                key = part.__name__.rpartition(".")[2]
                html = Markup(environment.get_template(f"parts/{key}.html.jinja").render(variables))
                parts.append({"key": key, "title": part.TITLE, "html": html})
        groups.append({"key": group.key, "title": group.title, "parts": parts})
    return groups


def models(evaluation: Evaluation) -> list[tuple[str, float, tuple[float, float]]]:
    """Rows of the ruler."""
    found = {"this model": evaluation.candidate, "champion": evaluation.champion}
    return [
        (name, one.overall.accuracy.value, (one.overall.accuracy.low, one.overall.accuracy.high))
        for name, one in found.items()
        if one
    ]


def count(number: int) -> str:
    """10,000."""
    return f"{number:,}"


def share(value: float | None, digits: int = 3) -> str:
    """0.912, or a dash where it is undefined."""
    return "–" if value is None else f"{value:.{digits}f}"


def interval(estimate: Estimate | None) -> str:
    """0.871 – 0.934, or nothing where it is undefined."""
    return f"{estimate.low:.3f} – {estimate.high:.3f}" if estimate else ""


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
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(part)}" for name, part in value.items())
    return ", ".join(plain(part) for part in value) if isinstance(value, list | tuple) else str(value) or "–"
