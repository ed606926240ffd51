"""The handbook's segments (part 9, "Feeding"): one at a time is in memory, and the next is read ahead."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from trainer_module.order import Order

HELD = 2
"""Segments in memory: the one in use, and the one before or after it."""


class Segments:
    """Fetches images from copies of their segments: image numbers int64 [batch] → uint8 [batch, ...]."""

    def __init__(self, pixels: np.ndarray, members: Sequence[np.ndarray]):
        """
        Args:
          pixels: uint8 [images, ...], on disk, each image in its place of `rows`, so that a segment is read in one go.
          members: the images of each segment.
        """
        self._pixels = pixels
        self._segment_of = np.empty(len(pixels), np.int64)
        self.rows = np.empty(len(pixels), np.int64)
        """int64 [images], the row of each in `pixels`: one segment after the other."""
        self._starts = np.cumsum([0, *map(len, members)])
        for segment, images in enumerate(members):
            self._segment_of[images] = segment
            self.rows[images] = self._starts[segment] + np.arange(len(images))
        self._lock = threading.Lock()
        self._held: OrderedDict[int, Future[np.ndarray]] = OrderedDict()
        self._reader = ThreadPoolExecutor(1, "segments")

    def __call__(self, chosen: np.ndarray) -> np.ndarray:
        """The pixels of images, which may be of several segments."""
        of = self._segment_of[chosen]
        segments = np.unique(of)
        if len(segments) == 1:
            return self._take(int(segments[0]), chosen)
        batch = np.empty((len(chosen), *self._pixels.shape[1:]), np.uint8)
        for segment in segments:
            batch[of == segment] = self._take(int(segment), chosen[of == segment])
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
        return np.take(self._hold(segment).result(), self.rows[chosen] - self._starts[segment], axis=0)

    def _hold(self, segment: int) -> "Future[np.ndarray]":
        with self._lock:
            if segment not in self._held:
                while len(self._held) >= HELD:
                    self._held.popitem(last=False)
                self._held[segment] = self._reader.submit(self._read, segment)
            self._held.move_to_end(segment)
            return self._held[segment]

    def _read(self, segment: int) -> np.ndarray:
        return np.array(self._pixels[self._starts[segment] : self._starts[segment + 1]])
