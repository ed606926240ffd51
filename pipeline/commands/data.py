"""`data`: image sets."""

from pathlib import Path

import click

from pipeline.commands.terminal import progress_bar


@click.group()
def data() -> None:
    """Get public image sets."""


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
