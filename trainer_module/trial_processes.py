"""Trials trained side by side, each process with its share of the cores or an accelerator of its own."""

import contextlib
import logging
import logging.handlers
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.context import SpawnContext
from typing import Any

import tensorflow as tf

from trainer_module import trials
from trainer_module.data import Split
from trainer_module.trials import Job, Metrics
from trainer_module.tuner_config import TunerConfig

log = logging.getLogger("tfx_vision.tuning")

Submit = Callable[[Job], "Future[Metrics]"]

CORES_EACH = 1
"""Cores for a process without an accelerator."""


def process_count(config: TunerConfig) -> int:
    """How many trials are trained at the same time: as configured, or one an accelerator, or one a core."""
    if config.parallel_trials:
        return config.parallel_trials
    accelerators = len(tf.config.list_physical_devices("GPU"))
    found = accelerators or max(len(os.sched_getaffinity(0)) // CORES_EACH, 1)
    count = min(found, config.trials)
    log.info("%d trials at a time (auto): %d %s", count, found, "GPUs" if accelerators else "cores")
    return count


@contextlib.contextmanager
def trial_processes(count: int, config: TunerConfig, train: Split, evaluation: Split) -> Iterator[Submit]:
    """Gives a function that starts a trial: in one of so many processes, or here when it is one.

    Whatever ends the block ends them, and they end by themselves when this process is killed.
    """
    if count == 1:
        yield lambda job: _trained_here(job, config, train, evaluation)
        return
    # A fork would inherit TensorFlow's locks, but not the threads that hold them.
    context = multiprocessing.get_context("spawn")
    records: Any = context.Queue()
    listener = logging.handlers.QueueListener(records, _Forward())
    listener.start()
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        count, context, _begin, (records, _devices(context, count), count, config, train, evaluation)
    )
    try:
        yield lambda job: pool.submit(_trained_in_process, job)
    finally:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        pool.shutdown(cancel_futures=True)
        listener.stop()


class _Forward(logging.Handler):
    """Hands what a process logged to the logger of the same name here."""

    def emit(self, record: logging.LogRecord) -> None:
        logging.getLogger(record.name).handle(record)


def _devices(context: SpawnContext, count: int) -> Any:
    """A queue of the accelerator of each process, None for all that there are."""
    devices: Any = context.Queue()
    accelerators = len(tf.config.list_physical_devices("GPU"))
    for number in range(count):
        devices.put(number % accelerators if accelerators else None)
    return devices


_search: tuple[TunerConfig, Split, Split]
"""What all trials of a process have in common."""


def _begin(records: Any, devices: Any, count: int, config: TunerConfig, train: Split, evaluation: Split) -> None:
    """The start of a process."""
    global _search
    _search = config, train, evaluation
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # Ctrl-C reaches all processes of a terminal; what it means is up to the parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logger = logging.getLogger("tfx_vision")
    logger.setLevel(logging.INFO)
    logger.handlers, logger.propagate = [logging.handlers.QueueHandler(records)], False
    device = devices.get()
    if device is None:
        tf.config.threading.set_intra_op_parallelism_threads(max(len(os.sched_getaffinity(0)) // count, 1))
    else:
        tf.config.set_visible_devices(tf.config.list_physical_devices("GPU")[device], "GPU")


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _trained_in_process(job: Job) -> Metrics:
    return trials.run(job, *_search)


def _trained_here(job: Job, config: TunerConfig, train: Split, evaluation: Split) -> "Future[Metrics]":
    future: Future[Metrics] = Future()
    try:
        future.set_result(trials.run(job, config, train, evaluation))
    except Exception as error:
        future.set_exception(error)
    return future
