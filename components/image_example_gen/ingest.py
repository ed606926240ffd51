"""The work itself: reads a part of a source and writes its shards. Any number of parts at a time, on any runner."""

import json
import logging
import os
import pickle
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle

import apache_beam as beam
import tensorflow as tf

from components.image_example_gen import shards
from components.image_example_gen.config import DataConfig
from components.image_example_gen.describers import Describers, Shares
from components.image_example_gen.headers import Unusable
from components.image_example_gen.items import Item
from components.image_example_gen.sources import Part
from components.image_example_gen.splits import hash_of, split_of
from transform import features

log = logging.getLogger("tfx_vision.ImageExampleGen")

BATCH = 128
"""Images that are described together."""
BATCH_BYTES = 32 * 2**20
"""Bytes of images after which no more are."""


@dataclass(frozen=True)
class Plan:
    """What is the same for every part of a source."""

    config: DataConfig
    buckets: dict[str, int]
    """By split; {"test": 1} for a source that is the test split."""
    total: int
    """Images of all sources."""
    examples: str
    """Folder of the examples."""
    facts: str
    """Folder of the facts."""
    quarantine: str
    """Folder of what each part has to say."""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that an image may come into."""
        return features.SPLITS if self.config.splits.mode == "predefined" else tuple(self.buckets)

    def split_for(self, item: Item, content_hash: bytes) -> str:
        """The split that is known when an image is read."""
        if item.split in ("eval", "test"):
            return item.split
        return split_of(hash_of(item.group) if item.group else content_hash.decode(), self.buckets)


def stow(plan: Plan, part: Part) -> str:
    """Writes down what is to be done, where every worker finds it, and returns where that is.

    The names of a million files are more than a runner wants to carry in its plan.
    """
    name = os.path.join(plan.quarantine, f"work-{'-'.join(sorted(plan.buckets))}-{part.shards[0]:05}.pickle")
    with tf.io.gfile.GFile(name, "wb") as stream:
        stream.write(pickle.dumps((plan, part)))
    return name


class IngestParts(beam.DoFn):
    """What `stow` wrote down → nothing: the images are on the disk, none of them went through the runner.

    Args:
      others: processes beside the worker that describe images.
    """

    def __init__(self, others: int = 0) -> None:
        self._others = others
        self._done = 0

    def setup(self) -> None:
        self._describers = Describers(self._others)

    def teardown(self) -> None:
        self._describers.close()

    def process(self, work: str) -> Iterator[None]:
        with tf.io.gfile.GFile(work, "rb") as stream:
            plan, part = pickle.loads(stream.read())
        self._done = ingest(plan, part, self._describers, self._done)
        yield from ()


def ingest(plan: Plan, part: Part, describers: Describers, done: int = 0) -> int:
    """Reads a part and writes its shards and its account of what was left out.

    Args:
      plan: what to do.
      part: what to read.
      describers: who does it.
      done: images that this worker read before.

    Returns:
      Images that this worker has read now.
    """
    config, number = plan.config, plan.config.shards
    shares = Shares(
        pixels=min(1.0, config.pixel_sample / plan.total), near=min(1.0, config.duplicates.near / plan.total)
    )
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    left_out: list[dict[str, str]] = []
    with ExitStack() as stack:
        writers = {
            split: cycle(
                [
                    stack.enter_context(shards.open_shard(plan.examples, plan.facts, split, shard, number))
                    for shard in part.shards
                ]
            )
            for split in plan.splits
        }
        for items, found in describers.describe(batches(part.read(part.what, config)), config.limits, shares):
            for item, record in zip(items, found, strict=True):
                if isinstance(record, Unusable):
                    left_out.append({"path": item.path, "label": item.label, "reason": str(record)})
                    log.warning("left out: %s: %s", item.path, record)
                    continue
                split = plan.split_for(item, record.facts[features.CONTENT_HASH])  # type: ignore[arg-type]
                counts[split][item.label] += 1
                next(writers[split]).write(record.around(item.encoded), record.facts)
            done += len(items)
            say(done, plan.total)
    account = {"counts": counts, "left_out": left_out}
    name = os.path.join(plan.quarantine, f"part-{'-'.join(sorted(plan.buckets))}-{part.shards[0]:05}.json")
    with tf.io.gfile.GFile(name, "w") as stream:
        json.dump(account, stream)
    return done


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Images by the hundred; fewer where they are large."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.encoded)
        if len(batch) == BATCH or size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def say(done: int, total: int) -> None:
    """A word on the progress."""
    log.info("%s of %s images", f"{done:,}", f"{total:,}", extra={"progress": (done, total)})
