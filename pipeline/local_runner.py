"""Runs the pipeline in this process: `tfx-vision run`, and the file for `tfx pipeline create --engine=local`.

As a script it takes the configuration's path from the environment variable TFX_VISION_CONFIG, by default
configs/digits.yaml, because the `tfx` command passes no arguments on.
"""

import contextlib
import fcntl
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from pipeline.capture import output_to
from pipeline.config import ConfigError, InferenceConfig, PipelineConfig, load_config
from pipeline.deferred import defer_heavy_packages, defer_tensorflow, executors_unread
from pipeline.imports import leave_out_unused, uncollected
from pipeline.progress import Display, duration

SUCCESS, FAILURE, NOT_BLESSED, INTERRUPTED = 0, 1, 3, 130
Conclusion = Callable[[Any, Any, float], int]
"""(results by component, console, seconds) → exit status."""


def run(config: PipelineConfig, *, verbose: bool = False) -> int:
    """Runs every component that is not cached and says how it went.

    Args:
      config: the pipeline's configuration.
      verbose: show the libraries' logs instead of sending them to a file.

    Returns:
      Exit status: 0 when the model is blessed (and pushed, now or earlier), 3 when it missed a threshold, 1 when a
      component failed, 130 when interrupted. Everything before the failure stays cached.
    """
    return _start(config, verbose, training)


def infer(config: InferenceConfig, *, verbose: bool = False) -> int:
    """Runs a batch inference, likewise.

    Returns:
      Exit status: 0 when it is done, 1 when a component failed, 130 when interrupted.
    """
    return _start(config, verbose, inference)


def load(config: Any, job: Callable[[Any], tuple[Any, Conclusion]]) -> tuple[Any, Conclusion]:
    """A job's graph as TFX's runners take it, and its conclusion; of what executors need, nothing is imported yet."""
    with uncollected():
        leave_out_unused()
        defer_tensorflow()
        defer_heavy_packages()
        with executors_unread():
            from tfx.dsl.compiler.compiler import Compiler

            graph, conclude = job(config)
            return Compiler().compile(graph), conclude


def training(config: PipelineConfig) -> tuple[Any, Conclusion]:
    """The graph, and what is said and returned at its end."""
    from pipeline import summary
    from pipeline.graph import create_pipeline

    return create_pipeline(
        config
    ), lambda results, console, seconds: SUCCESS if summary.show(config, results, console, seconds) else NOT_BLESSED


def inference(config: InferenceConfig) -> tuple[Any, Conclusion]:
    """Likewise."""
    from pipeline import summary
    from pipeline.inference import create_inference_pipeline

    def conclude(results: Any, console: Any, seconds: float) -> int:
        summary.show_inference(results, console, seconds)
        return SUCCESS

    return create_inference_pipeline(config), conclude


def _start(config: Any, verbose: bool, job: Callable[[Any], tuple[Any, Conclusion]]) -> int:
    log = config.folder / "logs" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"root: {config.folder} cannot be written: {error.strerror}") from error
    with only_run(config.folder):
        if verbose:
            return _run(config, job, sys.stdout, None)
        with output_to(log) as stream:
            return _run(config, job, stream, log)


def _run(config: Any, job: Callable[[Any], tuple[Any, Conclusion]], stream: TextIO, log: Path | None) -> int:
    display = Display(stream)
    started = time.monotonic()
    display.console.print(f"[bold]{config.name}[/]  {config.folder}")
    with display.component("TFX"):
        display.handle(logging.LogRecord("tfx_vision", logging.INFO, "", 0, "loading TFX", None, None))
        compiled, conclude = load(config, job)
        from pipeline import execution

    display.console.print(f"[dim]  loaded TFX in {duration(time.monotonic() - started)}[/]")
    logger = logging.getLogger("tfx_vision")
    logger.setLevel(logging.INFO)
    logger.addHandler(display)
    try:
        results = execution.LocalRunner(display).run_with_ir(compiled)
    except execution.ComponentError as error:
        display.console.print(f"\n[red]{error.component} failed:[/] {error}", markup=True)
        display.console.print(
            "Everything before it is cached; after the cause is mended, the same command continues here."
        )
        return _end(display, log, FAILURE)
    except KeyboardInterrupt:
        display.console.print("\nInterrupted; the same command continues with what is not finished.")
        return _end(display, log, INTERRUPTED)
    finally:
        logger.removeHandler(display)
    return _end(display, log, conclude(results, display.console, time.monotonic() - started))


def _end(display: Display, log: Path | None, status: int) -> int:
    if log:
        display.console.print(f"[dim]The libraries' log: {log}[/]")
    return status


@contextlib.contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Refuses a second run in the same folder while one is going; the lock dies with its process."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another run is going on in {folder}; wait for it, or give this one another `name`"
            ) from None
        yield


if __name__ == "__main__":
    from pipeline.execution import LocalRunner
    from pipeline.graph import create_pipeline

    LocalRunner().run(create_pipeline(load_config(os.environ.get("TFX_VISION_CONFIG", "configs/digits.yaml"))))
