"""What a person sees while a pipeline runs: a line per component, moving while it works."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

ACTIVITIES = {
    "ImageExampleGen": "read, hash and split the images",
    "StatisticsGen": "count labels, sizes and formats",
    "SchemaGen": "propose a schema from the training split",
    "ExampleValidator": "compare every split with the schema",
    "DataGate": "stop here if the data has anomalies",
    "SpanWindow": "choose the spans to train on",
    "Transform": "decode, resize and pack the images",
    "Tuner": "search hyperparameters",
    "BestHyperparameters": "take the hyperparameters of an earlier run",
    "WarmStart": "fetch the weights to begin with",
    "Trainer": "train the model",
    "Champion": "look up the model being served",
    "Evaluator": "evaluate against thresholds and champion",
    "InfraValidator": "serve the model for trial and ask it",
    "Pusher": "push the model to its destination",
    "Report": "write the report",
    "ImageFolderGen": "read the images",
    "BulkInferrer": "ask the model",
}


def duration(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 05 s."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


class Display(logging.Handler):
    """Prints a line per component; on a terminal the current one moves with the records of the `tfx_vision` loggers.

    A record's `progress`, when it has one, is (done, total).
    """

    def __init__(self, stream: TextIO):
        super().__init__(logging.INFO)
        self.console = Console(file=stream, highlight=False, soft_wrap=True)
        self._component, self._started = "", 0.0
        self._message, self._progress = "", 0.0
        self._live: Live | None = None
        self._said = 0.0

    @contextmanager
    def component(self, name: str) -> Iterator[None]:
        """Shows `name` as working until the end of the block; `finish` has the last word on it."""
        self._component, self._started, self._said = name, time.monotonic(), time.monotonic()
        self._message, self._progress = ACTIVITIES.get(name, ""), 0.0
        if not self.console.is_terminal:
            yield
            return
        with Live(get_renderable=self._render, console=self.console, refresh_per_second=8, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def finish(self, name: str, outcome: str, style: str) -> None:
        """The line that stays: component, what it does, how it ended."""
        activity = ACTIVITIES.get(name, "")
        self.console.print(f"[{style}]{'✗' if style == 'red' else '✓'}[/] {name:<17} [dim]{activity:<42}[/] {outcome}")

    def emit(self, record: logging.LogRecord) -> None:
        self._message = record.getMessage()
        done, total = getattr(record, "progress", (0, 0))
        self._progress = done / total if total else 0.0
        # Without a terminal, long work still says something now and then.
        if not self.console.is_terminal and time.monotonic() - self._said > 15:
            self._said = time.monotonic()
            self.console.print(f"  {self._component:<17} {escape(self._message)}")

    def _render(self) -> Table:
        elapsed = time.monotonic() - self._started
        spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(elapsed * 8) % 10]
        bar = ""
        if self._progress:
            filled = round(self._progress * 20)
            left = elapsed / self._progress - elapsed
            bar = f"[cyan]{'━' * filled}[/][dim]{'━' * (20 - filled)}[/] {self._progress:.0%}, {duration(left)} left"
        line = Table.grid(padding=(0, 1))
        line.add_row(
            f"[cyan]{spinner}[/]",
            f"{self._component:<17}",
            f"{escape(self._message)}",
            bar,
            f"[dim]{duration(elapsed)}[/]",
        )
        return line
