"""`augment`: look at augmented training images."""

from pathlib import Path

import click

from pipeline.commands.terminal import CONFIG, OVERRIDES, working


@click.group()
def augment() -> None:
    """Look at augmented training images."""


@augment.command()
@CONFIG
@OVERRIDES
@click.option("-o", "--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--images", type=click.IntRange(1, 64), default=8, show_default=True, help="Rows of the sheet.")
def preview(config: Path, overrides: tuple[str, ...], output: Path, images: int) -> None:
    """Write a PNG sheet of images: as they are, under each change alone, and under all together.

    They are what training would see with the same seed, at the size of the model's input, labels included.
    """
    from pipeline.config import load_config

    settings = load_config(config, overrides)
    with working("augmenting"):
        from pipeline.contact_sheet import write_sheet

        changes = write_sheet(settings, output, images)
    click.echo(f"Wrote {output}: {', '.join(changes) or 'no augmentation is configured, so images as they are'}")
