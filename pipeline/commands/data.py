"""`data`: image sets, what is in them, and what a served model is asked."""

import sys
from pathlib import Path

import click

from pipeline.commands.terminal import progress_bar, working


@click.group()
def data() -> None:
    """Get image sets, and look at your own."""


@data.command()
@click.argument("dataset", type=click.Choice(["fashion-mnist", "digits"]))
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def fetch(dataset: str, directory: Path) -> None:
    """Write a public image set to DIR, one folder per class; an interrupted fetch continues.

    \b
    fashion-mnist  70,000 pictures of clothes, 10 classes, 28 x 28, grey; from the Debian package, 31 MB
    digits         1,797 handwritten digits, 10 classes, 8 x 8, grey; comes with scikit-learn
    """
    from pipeline import datasets

    if datasets.is_complete(dataset, directory):
        click.echo(f"{directory} already holds {dataset}")
        return
    with progress_bar(f"{dataset} to {directory}") as advance:
        {"fashion-mnist": datasets.fetch_fashion_mnist, "digits": datasets.fetch_digits}[dataset](directory, advance)
    click.echo(f"{directory} holds {dataset}")


@data.command()
@click.argument("path", metavar="DIR")
@click.option("--page", metavar="FILE", type=click.Path(path_type=Path), help="Write a page with pictures, too.")
@click.option("--limit", default=20_000, show_default=True, help="Images that are looked at, evenly from all of them.")
def inspect(path: str, page: Path | None, limit: int) -> None:
    """Look at images before any pipeline: balance, sizes, formats, duplicates, trouble.

    DIR is a folder with one sub-folder per class, a CSV or JSON listing, a zip or tar archive, TFRecords or IDX files.
    """
    with progress_bar(f"looking at {path}") as advance:
        from pipeline.inspection import as_page, as_text, inspect

        found = inspect(path, limit, advance)
    click.echo(as_text(found))
    if page:
        page.write_text(as_page(found), encoding="utf-8")
        click.echo(f"\nWrote {page}")


@data.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("requests", type=click.Path(path_type=Path))
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="Of the Jensen-Shannon divergence; by default gate.skew."
)
def skew(run: Path, requests: Path, threshold: float | None) -> None:
    """Compare logged requests with what the model was trained on.

    RUN is the run's folder or configuration, REQUESTS a folder or file of PredictionLogs as TensorFlow Serving and the
    development server (serving.log_share, serving.log_folder) write them. Exit status: 0 alike, 3 they differ.
    """
    with working("reading the requests"):
        from components.data_gate.config import GateConfig
        from pipeline.config import load_config
        from pipeline.skew import compare_requests

        gate = load_config(run).gate if run.is_file() else GateConfig()
        if threshold is not None:
            gate = GateConfig(skew=threshold, label_skew=gate.label_skew)
        found = compare_requests(run, requests, gate)
    unusable = f", {found.unusable:,} others cannot be read" if found.unusable else ""
    click.echo(f"{found.images:,} images in the requests{unusable}")
    for sentence in found.differences:
        click.echo(sentence)
    if not found.differences:
        click.echo("They look like the training split.")
    sys.exit(3 if found.differences else 0)
