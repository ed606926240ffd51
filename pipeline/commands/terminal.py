"""What the commands share: arguments, errors that end as sentences, and signs of life on a terminal."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pipeline.datasets import Progress

CONFIG = click.argument("config", type=click.Path(dir_okay=False, path_type=Path))
OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Replace a setting; may be repeated."
)


class ToldError(click.ClickException):
    """An error of this project: its message is a sentence for the user, printed without a traceback."""


class ConfigurationToldError(ToldError):
    """A configuration that cannot be used."""

    exit_code = 2


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Says what is going on while it goes on; only on a terminal."""
    from rich.console import Console

    with Console(stderr=True).status(what) if sys.stderr.isatty() else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator["Progress"]:
    """A bar on a terminal, a line elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        click.echo(what)
        yield lambda done, total: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        advance: Callable[[int, int], None] = lambda done, total: bar.update(task, completed=done, total=total)  # noqa: E731
        yield advance
