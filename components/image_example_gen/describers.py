"""Processes that describe images beside a worker, on cores that its runner leaves idle.

They are started anew, not forked, so that they share nothing with TensorFlow's threads, and import none of TensorFlow,
TFX and Beam: they are ready after half a second with 60 MB each, where another Beam worker takes 20 to 40 s.
"""

import fcntl
import gc
import os
import pickle
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from PIL import Image

from components.image_example_gen.config import LimitConfig
from components.image_example_gen.facts import Facts, add_hashes, describe
from components.image_example_gen.headers import Doubtful, Unusable
from components.image_example_gen.items import Item
from components.image_example_gen.records import Record, serialize

AHEAD = 2
"""Batches that another process has, one of which it works on."""
SELDOM = 100_000
"""New objects after which those in cycles are looked for."""
PIPE = 2**20
"""Bytes that a pipe holds where the system allows it: some batches of small images."""
FRAME = 1_000
"""Bytes of an image's facts, at most, without its names."""


class Shares(NamedTuple):
    """Of the images, 0 … 1."""

    pixels: float
    """Share whose pixels are measured."""
    near: float
    """Share that gets a perceptual hash."""


@dataclass(eq=False)
class Batch:
    """Images that are described together, here or elsewhere."""

    items: Sequence[Item]
    found: Sequence[Record | Unusable | Doubtful] | None = None
    """As long as there is nothing, the process has it that was asked."""

    @cached_property
    def size(self) -> int:
        """Bytes to another process, or back, at most."""
        return sum(FRAME + sum(map(len, item)) for item in self.items)


@dataclass(eq=False)
class Other:
    """Another process that describes images."""

    process: subprocess.Popen
    asked: deque[Batch] = field(default_factory=deque)
    """What it has not yet answered."""

    @cached_property
    def room(self) -> int:
        """Bytes that may be on the way to it while it works: half of what its pipe holds."""
        return fcntl.fcntl(self.process.stdin, fcntl.F_GETPIPE_SZ) // 2  # type: ignore[arg-type]

    def has_room(self, batch: Batch) -> bool:
        """Whether a batch can be handed over without waiting for a process that may itself wait to be heard."""
        if not self.asked:
            return True
        return len(self.asked) < AHEAD and batch.size + sum(other.size for other in self.asked) < self.room

    def ask(self, batch: Batch, limits: LimitConfig, shares: Shares) -> None:
        """Hands over a batch."""
        self.asked.append(batch)
        try:
            pickle.dump((batch.items, limits, shares), self.process.stdin)  # type: ignore[arg-type]
            self.process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            pass  # it died, which is found out where the answer is missing

    def has_answered(self) -> bool:
        """Whether there is an answer, or there will be none."""
        return bool(select.select([self.process.stdout], [], [], 0)[0])  # type: ignore[type-var]

    def listen(self) -> Any:
        """The next answer, for which it waits; None when there will be none."""
        try:
            return pickle.load(self.process.stdout)  # type: ignore[arg-type]
        except (EOFError, pickle.UnpicklingError):
            return None

    def stop(self) -> None:
        """Ends it."""
        self.process.kill()  # it holds nothing that could be lost
        self.process.communicate()


EARLY: list[Other] = []
"""Started before there were describers to take them."""


class Describers:
    """This process and others beside it. They say the same; how many they are changes the time alone."""

    def __init__(self, others: int):
        self._starting = [EARLY.pop() if EARLY else Other(start()) for _ in range(others)]
        self.ready: list[Other] = []

    def describe(
        self, batches: Iterable[Sequence[Item]], limits: LimitConfig, shares: Shares
    ) -> Iterator[tuple[Sequence[Item], list[Record | Unusable]]]:
        """Each batch, and what is written of each image or why it cannot be; in the order in which they come."""
        waiting: deque[Batch] = deque()
        for batch in map(Batch, batches):
            self.welcome()
            idle = min(self.ready, key=lambda other: len(other.asked), default=None)
            if idle and idle.has_room(batch):
                idle.ask(batch, limits, shares)
            else:
                batch.found = describe_all(batch.items, limits, shares)
            waiting.append(batch)
            for other in list(self.ready):
                while other in self.ready and other.asked and other.has_answered():
                    self._hear(other, limits, shares)
            while waiting and (waiting[0].found is not None or len(waiting) > AHEAD * (1 + len(self.ready))):
                yield self._settled(waiting.popleft(), limits, shares)
        while waiting:
            yield self._settled(waiting.popleft(), limits, shares)

    def _settled(
        self, batch: Batch, limits: LimitConfig, shares: Shares
    ) -> tuple[Sequence[Item], list[Record | Unusable]]:
        """A batch whose doubts are settled with TensorFlow; waits for it where another process has it."""
        while batch.found is None:
            self._hear(next(other for other in self.ready if batch in other.asked), limits, shares)
        found = zip(batch.items, batch.found, strict=True)
        return batch.items, [settle(item, limits, shares) if isinstance(one, Doubtful) else one for item, one in found]

    def _hear(self, other: Other, limits: LimitConfig, shares: Shares) -> None:
        """Takes the next answer of another process; what one that died leaves unanswered is done here."""
        answer = other.listen()
        if answer is not None:
            other.asked.popleft().found = answer
            return
        self.ready.remove(other)
        other.stop()
        for batch in other.asked:
            batch.found = describe_all(batch.items, limits, shares)

    def welcome(self) -> None:
        """Lets those take part that have started."""
        for other in list(self._starting):
            if other.has_answered():
                self._starting.remove(other)
                if other.listen():
                    self.ready.append(other)
                else:
                    other.stop()

    def close(self) -> None:
        """Ends the other processes."""
        for other in (*self._starting, *self.ready):
            other.stop()
        self._starting, self.ready = [], []


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Looks seldom for objects in cycles, and never among those there are: images leave none, TensorFlow has many."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@contextmanager
def starting(others: int) -> Iterator[None]:
    """Starts other processes while this one still looks what there is to do; ends those that no describers took."""
    EARLY.extend(Other(start()) for _ in range(others))
    try:
        yield
    finally:
        dismiss()


def dismiss() -> None:
    """Ends those that no describers took."""
    while EARLY:
        EARLY.pop().stop()


def describe_all(items: Sequence[Item], limits: LimitConfig, shares: Shares) -> list[Record | Unusable | Doubtful]:
    """Describes what can be without TensorFlow."""
    found: list[Record | Unusable | Doubtful] = []
    to_hash: list[tuple[Facts, Image.Image]] = []
    for item in items:
        try:
            facts = describe(item, limits, *shares, may_decode=False, to_hash=to_hash)
            found.append(serialize(facts, len(item.encoded)))
        except (Unusable, Doubtful) as trouble:
            found.append(trouble)
    add_hashes(to_hash)
    return found


def settle(item: Item, limits: LimitConfig, shares: Shares) -> Record | Unusable:
    """Describes an image with TensorFlow where needed."""
    try:
        return serialize(describe(item, limits, *shares), len(item.encoded))
    except Unusable as trouble:
        return trouble


def start() -> subprocess.Popen:
    """Another process; it answers once, when it has started, and then each question."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    command = [sys.executable, "-m", __spec__.name]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": paths}
    )
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # a user may have only so many bytes in pipes
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)  # type: ignore[arg-type]
    return process


def main() -> None:
    """Answers questions until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks ends this one
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    answer: Any = "ready"
    with seldom_collected():
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
