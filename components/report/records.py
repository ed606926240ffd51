"""Reads the raw examples: what their headers say, and a few pictures."""

import heapq
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from components.report.contents import Picture, size_step
from components.report.pictures import picture
from transform import features

log = logging.getLogger("tfx_vision.Report")

BATCH = 128
"""Records in memory at a time."""
CHANNELS = {1: "grey", 2: "grey + alpha", 3: "RGB", 4: "RGB + alpha"}

TEXTS = (features.IMAGE, features.LABEL, features.CONTENT_HASH, features.PATH, features.FORMAT)
NUMBERS = (features.WIDTH, features.HEIGHT, features.CHANNELS)


class Kept(NamedTuple):
    """An image that may be shown; the heaps keep the highest."""

    rank: int
    content_hash: bytes
    encoded: bytes
    path: str


class Survey:
    """What a pass over a split's headers leaves behind; memory does not grow with the number of images."""

    def __init__(self, classes: Collection[str], samples: int):
        self.kinds: Counter[str] = Counter()
        self.extents: Counter[tuple[int, int]] = Counter()
        self._classes, self._samples = classes, samples
        self._kept: dict[str, list[Kept]] = defaultdict(list)

    def add(self, batch: dict[str, np.ndarray]) -> None:
        """Counts a batch. Those whose content hash is lowest are kept: as good as drawn, and the same every time."""
        for index, label in enumerate(batch[features.LABEL]):
            kind = CHANNELS[int(batch[features.CHANNELS][index])]
            self.kinds[f"{batch[features.FORMAT][index].decode()}, {kind}"] += 1
            self.extents[size_step(batch[features.WIDTH][index]), size_step(batch[features.HEIGHT][index])] += 1
            name, content_hash = label.decode(), batch[features.CONTENT_HASH][index]
            if name not in self._classes:
                continue
            rank = -int(content_hash[:12], 16)
            if len(self._kept[name]) < self._samples or rank > self._kept[name][0].rank:
                image, path = batch[features.IMAGE][index], batch[features.PATH][index].decode()
                keep(self._kept[name], Kept(rank, content_hash, image, path), self._samples)

    def pictures(self, side: int) -> dict[str, list[Picture]]:
        """The kept images by class."""
        return {
            name: [picture(one.encoded, one.path, side) for one in sorted(kept, reverse=True)]
            for name, kept in self._kept.items()
        }


class Wanted:
    """Pictures of certain images."""

    def __init__(self, hashes: Collection[str]):
        self._hashes = {content_hash.encode() for content_hash in hashes}
        self._found: dict[str, tuple[bytes, str]] = {}

    def add(self, batch: dict[str, np.ndarray]) -> None:
        """Keeps the images of a batch that are wanted."""
        for index, content_hash in enumerate(batch[features.CONTENT_HASH]):
            if content_hash in self._hashes:
                image, path = batch[features.IMAGE][index], batch[features.PATH][index].decode()
                self._found[content_hash.decode()] = (image, path)

    def pictures(self, side: int) -> dict[str, Picture]:
        """Those that were found, by content hash."""
        return {name: picture(encoded, path, side) for name, (encoded, path) in self._found.items()}


def keep(heap: list[Kept], one: Kept, limit: int) -> None:
    """Adds to a heap that holds the `limit` highest."""
    if len(heap) < limit:
        heapq.heappush(heap, one)
    else:
        heapq.heappushpop(heap, one)


def read_split(folder: str) -> Iterator[dict[str, np.ndarray]]:
    """The parsed features of a split's examples, in batches."""
    files = sorted(tf.io.gfile.glob(os.path.join(folder, "*.gz")))
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP", num_parallel_reads=2)
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in TEXTS}
    spec |= {name: tf.io.FixedLenFeature([], tf.int64) for name in NUMBERS}
    dataset = dataset.batch(BATCH).map(lambda serialized: tf.io.parse_example(serialized, spec))
    for parsed in dataset.prefetch(1):
        yield {name: value.numpy() for name, value in parsed.items()}


def survey(
    folder: str,
    split: str,
    total: int,
    *,
    classes: Collection[str],
    samples: int,
    wanted: Wanted | None = None,
) -> Survey:
    """One pass over a split's examples.

    Args:
      folder: of the split's GZIP'd TFRecords.
      split: its name, for the log.
      total: number of its images, for the log.
      classes: to keep pictures of.
      samples: pictures to keep per class.
      wanted: images to keep besides.
    """
    found, done = Survey(classes, samples), 0
    for batch in read_split(folder):
        found.add(batch)
        if wanted:
            wanted.add(batch)
        done += len(batch[features.LABEL])
        log.info("reading %s: %s of %s images", split, f"{done:,}", f"{total:,}", extra={"progress": (done, total)})
    return found
