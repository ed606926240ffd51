"""Processes that describe images beside a worker, on cores that its runner leaves idle.

They are started anew, not forked, so that they share nothing with TensorFlow's threads, and import none of TensorFlow,
TFX and Beam: they are ready after half a second with 60 MB each, where another Beam worker takes 20 to 40 s.
"""

import os
import pickle
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from components.image_example_gen.config import LimitConfig
from components.image_example_gen.facts import Facts, describe
from components.image_example_gen.headers import Doubtful, Unusable
from components.image_example_gen.items import Item

Described = Facts | Unusable | Doubtful
WEIGHT = 2
"""Images that each gets for every one that this process, which also reads and writes, describes itself."""


class Shares(NamedTuple):
    """Of the images, 0 … 1."""

    pixels: float
    """Share whose pixels are measured."""
    near: float
    """Share that gets a perceptual hash."""


class Describers:
    """This process and others beside it. They say the same; how many they are changes the time alone."""

    def __init__(self, others: int):
        self._starting = [start() for _ in range(others)]
        self.ready: list[subprocess.Popen] = []

    def describe(self, items: Sequence[Item], limits: LimitConfig, shares: Shares) -> list[Facts | Unusable]:
        """What `facts.describe` returns or raises for each, in their order."""
        self.welcome()
        size = WEIGHT * len(items) // (1 + WEIGHT * len(self.ready))
        own = len(items) - size * len(self.ready)
        parts = [items[own + size * index : own + size * (index + 1)] for index in range(len(self.ready))]
        asked = [ask(process, (part, limits, shares)) for process, part in zip(self.ready, parts, strict=True)]
        found = describe_all(items[:own], limits, shares)
        for process, part, heard in zip(list(self.ready), parts, asked, strict=True):
            answer = listen(process) if heard else None
            if answer is None:  # it died; its part is done here
                self.ready.remove(process)
                stop(process)
            found += answer or [Doubtful()] * len(part)
        return [
            settle(item, limits, shares) if isinstance(one, Doubtful) else one
            for item, one in zip(items, found, strict=True)
        ]

    def welcome(self) -> None:
        """Lets those take part that have started."""
        for process in list(self._starting):
            if select.select([process.stdout], [], [], 0)[0]:  # type: ignore[type-var]
                self._starting.remove(process)
                if listen(process):
                    self.ready.append(process)
                else:
                    stop(process)

    def close(self) -> None:
        """Ends the other processes."""
        for process in (*self._starting, *self.ready):
            stop(process)
        self._starting, self.ready = [], []


def describe_all(items: Sequence[Item], limits: LimitConfig, shares: Shares) -> list[Described]:
    """Describes what can be without TensorFlow."""
    found: list[Described] = []
    for item in items:
        try:
            found.append(describe(item, limits, *shares, may_decode=False))
        except (Unusable, Doubtful) as trouble:
            found.append(trouble)
    return found


def settle(item: Item, limits: LimitConfig, shares: Shares) -> Facts | Unusable:
    """Describes an image with TensorFlow where needed."""
    try:
        return describe(item, limits, *shares)
    except Unusable as trouble:
        return trouble


def start() -> subprocess.Popen:
    """Another process; it answers once, when it has started, and then each question."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    command = [sys.executable, "-m", __spec__.name]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}
    )


def ask(process: subprocess.Popen, question: Any) -> bool:
    """Sends a question; whether it was taken."""
    try:
        process.stdin.write(pickle.dumps(question))  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    except BrokenPipeError:
        return False
    return True


def listen(process: subprocess.Popen) -> Any:
    """The next answer; None when there will be none."""
    try:
        return pickle.load(process.stdout)  # type: ignore[arg-type]
    except (EOFError, pickle.UnpicklingError):
        return None


def stop(process: subprocess.Popen) -> None:
    """Ends a process, which ends by itself when it hears no more."""
    try:
        process.communicate(timeout=10)
    except (BrokenPipeError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()


def main() -> None:
    """Answers questions until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks ends this one
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    answer: Any = "ready"
    while True:
        pickle.dump(answer, answers)
        answers.flush()
        try:
            items, limits, shares = pickle.load(questions)
        except EOFError:
            return
        answer = describe_all(items, limits, shares)


if __name__ == "__main__":
    main()
