"""Requests that arrive while another one runs are run together: one pass of the network for many clients.

No request waits for others to come: a lone one runs at once, and what gathers meanwhile is the next batch. So
batching costs no latency where there is no load, and its size follows the load by itself.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serving.errors import RequestError
from serving.models import LoadedVersion

Arrays = Mapping[str, np.ndarray]


class Batcher:
    """Runs requests together where their version, signature, outputs, dtypes and shapes agree.

    Args:
      max_size: rows of a batch; 1 runs every request by itself.
      threads: how many batches of one kind run at once.
    """

    def __init__(self, max_size: int, threads: int = 1):
        self._max_size = max_size
        self._threads = threads
        self._lock = threading.Lock()
        self._queues: dict[Any, _Queue] = {}
        self._unbatchable: set[Any] = set()

    def run(self, loaded: LoadedVersion, signature: str, inputs: Arrays, outputs: Sequence[str] = ()) -> Arrays:
        """`LoadedVersion.run`, together with others' requests.

        Raises:
          RequestError: the inputs do not fit the signature, or the model refuses them.
        """
        rows = _rows(inputs)
        kind = (loaded.number, signature)
        if rows is None or not 0 < rows < self._max_size or kind in self._unbatchable:
            return loaded.run(signature, inputs, outputs)
        shapes = tuple((name, array.dtype.str, array.shape[1:]) for name, array in sorted(inputs.items()))
        return self._queued((loaded, signature, tuple(outputs), shapes), _Request(inputs, rows))

    def _queued(self, key: Any, request: "_Request") -> Arrays:
        with self._lock:
            queue = self._queues.setdefault(key, _Queue())
            if queue.running < self._threads:
                queue.running += 1
                request.batch = [request]
            else:
                queue.waiting.append(request)
        if request.batch is None:
            request.ready.wait()
        if request.batch is not None:  # this thread's turn to run a batch, its own request the first of it
            try:
                self._run_batch(key, request.batch)
            finally:
                self._hand_on(key, queue)
        if request.error:
            raise request.error
        return request.results

    def _hand_on(self, key: Any, queue: "_Queue") -> None:
        """Lets the thread of the longest waiting request run the next batch."""
        with self._lock:
            if not queue.waiting:
                queue.running -= 1
                if not queue.running:
                    self._queues.pop(key, None)
                return
            first = queue.waiting.popleft()
            first.batch, rows = [first], first.rows
            while queue.waiting and rows + queue.waiting[0].rows <= self._max_size:
                first.batch.append(queue.waiting.popleft())
                rows += first.batch[-1].rows
        first.ready.set()

    def _run_batch(self, key: Any, batch: "list[_Request]") -> None:
        loaded, signature, outputs, _ = key
        try:
            if len(batch) > 1 and self._run_together(loaded, signature, outputs, batch):
                return
            for request in batch:
                request.run(loaded, signature, outputs)
        except BaseException as error:
            for request in batch:
                request.error = request.error or error
            raise
        finally:
            for request in batch[1:]:
                request.ready.set()

    def _run_together(
        self, loaded: LoadedVersion, signature: str, outputs: Sequence[str], batch: "list[_Request]"
    ) -> bool:
        """False where each has to run by itself: one of them is at fault, or an output has not a row for each."""
        inputs = {name: np.concatenate([request.inputs[name] for request in batch]) for name in batch[0].inputs}
        try:
            results = loaded.run(signature, inputs, outputs)
        except RequestError:
            return False
        if _rows(results) != sum(request.rows for request in batch):
            self._unbatchable.add((loaded.number, signature))
            return False
        start = 0
        for request in batch:
            request.results = {name: array[start : start + request.rows] for name, array in results.items()}
            start += request.rows
        return True


class _Request:
    """One request's inputs and, when it is done, its results or its error."""

    def __init__(self, inputs: Arrays, rows: int):
        self.inputs, self.rows = inputs, rows
        self.results: Arrays = {}
        self.error: BaseException | None = None
        self.batch: list[_Request] | None = None
        self.ready = threading.Event()

    def run(self, loaded: LoadedVersion, signature: str, outputs: Sequence[str]) -> None:
        try:
            self.results = loaded.run(signature, self.inputs, outputs)
        except RequestError as error:
            self.error = error


class _Queue:
    """Requests of one kind."""

    def __init__(self) -> None:
        self.running = 0
        self.waiting: deque[_Request] = deque()


def _rows(arrays: Arrays) -> int | None:
    """The first dimension that all arrays share; None where they do not."""
    sizes = {array.shape[0] if array.ndim else None for array in arrays.values()}
    return sizes.pop() if len(sizes) == 1 else None
