"""`sweep`: find the order of magnitude of the learning rate."""

from pathlib import Path

import click

from pipeline.commands.terminal import CONFIG, OVERRIDES, working


@click.command(short_help="Find the order of magnitude of the learning rate.")
@CONFIG
@OVERRIDES
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), required=True, help="An SVG."
)
@click.option("--steps", type=click.IntRange(20, 100_000), default=200, show_default=True, help="Of the training.")
def sweep(config: Path, overrides: tuple[str, ...], output: Path, steps: int) -> None:
    """Train once through all learning rates, plot the loss and suggest a rate.

    Uses the examples that the pipeline's last run transformed. The suggestion is a tenth of the rate at which the loss
    is lowest: a good highest rate for trainer.learning_rate, and the middle of a range to search.
    """
    from pipeline.config import load_config

    settings = load_config(config, overrides)
    with working("training through the learning rates"):
        from pipeline.rate_sweep import sweep_rates

        rate = sweep_rates(settings, output, steps)
    click.echo(f"trainer.learning_rate: {rate:.2g} suits, {settings.trainer.learning_rate:g} is configured")
    click.echo(f"Wrote {output}")
