"""The handbook's segments (part 9, "Feeding"): one at a time is in memory, and the next is read ahead."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from trainer_module.image_file import Fetch
from trainer_module.order import Order

HELD = 2
"""Segments in memory: the one in use, and the one before or after it."""


class Segments:
    """Fetches images from copies of their segments: image numbers int64 [batch] → uint8 [batch, ...]."""

    def __init__(self, fetch: Fetch, members: Sequence[np.ndarray]):
        """
        Args:
          fetch: reads images from disk.
          members: the images of each segment.
        """
        self._fetch, self._members = fetch, members
        images = sum(map(len, members))
        self._segment_of, self._place = np.empty(images, np.int64), np.empty(images, np.int64)
        for segment, of_it in enumerate(members):
            self._segment_of[of_it] = segment
            self._place[of_it] = np.arange(len(of_it))
        self._lock = threading.Lock()
        self._held: OrderedDict[int, Future[np.ndarray]] = OrderedDict()
        self._reader = ThreadPoolExecutor(1, "segments")

    def __call__(self, chosen: np.ndarray) -> np.ndarray:
        """The pixels of images, which may be of several segments."""
        of = self._segment_of[chosen]
        segments = np.unique(of).tolist()
        if len(segments) == 1:
            return self._take(segments[0], chosen)
        taken = np.concatenate([self._take(segment, chosen[of == segment]) for segment in segments])
        batch = np.empty_like(taken)
        batch[np.argsort(of, kind="stable")] = taken
        return batch

    def read_ahead(self, images: Order, *, steps: int) -> Order:
        """The same order; asked for a step, it has the segment that is in use so many steps later read meanwhile."""

        def reading_ahead(step: int) -> np.ndarray:
            self._hold(int(self._segment_of[images(step + steps)[-1]]))
            return images(step)

        return reading_ahead

    @property
    def held(self) -> tuple[int, ...]:
        """The segments in memory."""
        return tuple(self._held)

    def _take(self, segment: int, chosen: np.ndarray) -> np.ndarray:
        return np.take(self._hold(segment).result(), self._place[chosen], axis=0)

    def _hold(self, segment: int) -> "Future[np.ndarray]":
        with self._lock:
            if segment not in self._held:
                while len(self._held) >= HELD:
                    self._held.popitem(last=False)
                self._held[segment] = self._reader.submit(self._fetch, self._members[segment])
            self._held.move_to_end(segment)
            return self._held[segment]
