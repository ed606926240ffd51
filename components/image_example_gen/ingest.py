"""The work itself: reads a part of a source and writes its shards. Any number of parts at a time, on any runner."""

import json
import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle

import apache_beam as beam
import tensorflow as tf

from components.image_example_gen import shards
from components.image_example_gen.config import DataConfig
from components.image_example_gen.facts import describe
from components.image_example_gen.headers import Unusable
from components.image_example_gen.records import serialize
from components.image_example_gen.sources import Item, Part
from components.image_example_gen.splits import hash_of, split_of
from transform import features

log = logging.getLogger("tfx_vision.ImageExampleGen")

STEP = 256
"""Images between two words on the progress."""


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


class IngestParts(beam.DoFn):
    """(plan, part) → nothing: the images are on the disk, none of them went through the runner."""

    def __init__(self) -> None:
        self._done = 0

    def process(self, work: tuple[Plan, Part]) -> Iterator[None]:
        plan, part = work
        self._done = ingest(plan, part, self._done)
        yield from ()


def ingest(plan: Plan, part: Part, done: int = 0) -> int:
    """Reads a part and writes its shards and its account of what was left out.

    Args:
      plan: what to do.
      part: what to read.
      done: images that this worker read before.

    Returns:
      Images that this worker has read now.
    """
    config, number = plan.config, plan.config.shards
    shares = {
        "pixel_share": min(1.0, config.pixel_sample / plan.total),
        "near_share": min(1.0, config.duplicates.near / plan.total),
    }
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
        for item in part.read(part.what, config):
            done += 1
            if done % STEP == 0:
                say(done, plan.total)
            try:
                if item.trouble:
                    raise Unusable(item.trouble)
                facts = describe(item, config.limits, **shares)
            except Unusable as trouble:
                left_out.append({"path": item.path, "label": item.label, "reason": str(trouble)})
                log.warning("left out: %s: %s", item.path, trouble)
                continue
            split = plan.split_for(item, facts[features.CONTENT_HASH])  # type: ignore[arg-type]
            counts[split][item.label] += 1
            next(writers[split]).write(serialize(facts, item.encoded), facts)
    account = {"counts": counts, "left_out": left_out}
    name = os.path.join(plan.quarantine, f"part-{'-'.join(sorted(plan.buckets))}-{part.shards[0]:05}.json")
    with tf.io.gfile.GFile(name, "w") as stream:
        json.dump(account, stream)
    say(done, plan.total)
    return done


def say(done: int, total: int) -> None:
    """A word on the progress."""
    log.info("%s of %s images", f"{done:,}", f"{total:,}", extra={"progress": (done, total)})
