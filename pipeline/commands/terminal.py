"""What the commands share: arguments, errors that end as sentences, and signs of life on a terminal."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

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
    """Says on a terminal what is going on while it goes on; the libraries' own output is not shown."""
    from rich.console import Console

    with silence() as stderr, Console(file=stderr).status(what) if stderr.isatty() else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator["Progress"]:
    """A bar on a terminal, a line elsewhere; the libraries' own output is not shown."""
    from rich.console import Console
    from rich.progress import Progress

    if not sys.stderr.isatty():
        click.echo(what)
    with silence() as stderr:
        if not stderr.isatty():
            yield lambda done, total: None
            return
        with Progress(console=Console(file=stderr), transient=True) as bar:
            task = bar.add_task(what, total=None)
            advance: Callable[[int, int], None] = lambda done, total: bar.update(task, completed=done, total=total)  # noqa: E731
            yield advance


@contextlib.contextmanager
def silence() -> Iterator[TextIO]:
    """Sends what is printed meanwhile nowhere; gives a stream to the real stderr."""
    from pipeline.capture import output_to

    with os.fdopen(os.dup(2), "w", encoding="utf-8") as stderr, output_to(Path(os.devnull)):
        yield stderr
