"""`schema`: what the data must be like."""

from pathlib import Path

import click

from pipeline.commands.terminal import working


@click.group()
def schema() -> None:
    """Keep what the data must be like under version control."""


@schema.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="FILE", default="schema.pbtxt", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file when it is there.")
def accept(run: Path, output: Path, force: bool) -> None:
    """Write the schema that a run proposed to a file, for you to edit and commit.

    RUN is its folder (runs/NAME) or its configuration. With `gate: {schema: FILE}` later runs take it instead of
    proposing one, and stop at what it does not allow: an unknown class, a size out of its range, a missing label.
    """
    with working("reading the schema"):
        from pipeline.schema import accept as accept_schema

        classes = accept_schema(run, output, force=force)
    click.echo(f"Wrote {output}: {classes:,} classes. Edit it, commit it, and name it in the configuration:")
    click.echo(f"gate: {{schema: {output}}}")
