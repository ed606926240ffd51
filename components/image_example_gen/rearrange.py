"""Moves images to the splits that could only be decided when all had been read, and drops some."""

from collections.abc import Mapping
from contextlib import ExitStack

import pyarrow as pa
import tensorflow as tf

from components.image_example_gen import shards
from components.image_example_gen.config import DataConfig
from components.image_example_gen.duplicates import Rows, near_pairs, together
from components.image_example_gen.pixels import PERCEPTUAL_HASH
from components.image_example_gen.splits import hash_of, split_of, stratify
from transform import features

DROPPED = "dropped"
"""In place of a split."""


def final_splits(conflicts: list[Rows], config: DataConfig, buckets: Mapping[str, int], facts: str) -> dict[str, str]:
    """The split, or DROPPED, of each content hash whose split is not its provisional one for sure.

    Args:
      conflicts: groups of identical images with different labels.
      config: the settings.
      buckets: by split.
      facts: folder of the facts.
    """
    final: dict[str, str] = {}
    movable = ("train", "eval") if config.test_path else features.SPLITS
    needed = (features.CONTENT_HASH, features.LABEL, features.GROUP, features.PATH, PERCEPTUAL_HASH)
    if config.splits.mode == "stratified" or config.duplicates.together:
        tables = [shards.read_facts(facts, split, needed) for split in movable]
        rows = [table for table in tables if len(table)]
        keys = {
            row[features.CONTENT_HASH].decode(): hash_of(row[features.GROUP].decode())
            if row[features.GROUP]
            else row[features.CONTENT_HASH].decode()
            for table in rows
            for row in table.select([features.CONTENT_HASH, features.GROUP]).to_pylist()
        }
        if config.duplicates.together:
            pairs = near_pairs(pa.concat_tables(rows), config.duplicates.distance)
            keys |= {key: keys[lowest] for key, lowest in together(pairs).items()}
        if config.splits.mode == "stratified":
            labelled = [
                (keys[row[features.CONTENT_HASH].decode()], row[features.LABEL].decode())
                for table in rows
                for row in table.select([features.CONTENT_HASH, features.LABEL]).to_pylist()
            ]
            chosen = stratify(labelled, buckets)
            final = {content_hash: chosen[key] for content_hash, key in keys.items()}
        else:
            final = {content_hash: split_of(key, buckets) for content_hash, key in keys.items()}
    if config.duplicates.conflicts == "drop":
        final |= {row[features.CONTENT_HASH].decode(): DROPPED for group in conflicts for row in group}
    return final


def rearrange(final: Mapping[str, str], examples: str, facts: str, count: int) -> None:
    """Rewrites the shards so that each image is in its final split; one that has none stays where it is.

    Args:
      final: split or DROPPED by content hash.
      examples: folder of the examples.
      facts: folder of the facts.
      count: shards per split.
    """
    for shard in range(count):
        old = {
            split: (shards.examples_file(examples, split, shard, count), shards.facts_file(facts, split, shard, count))
            for split in features.SPLITS
        }
        old = {split: files for split, files in old.items() if tf.io.gfile.exists(files[0])}
        with ExitStack() as stack:
            # They replace the files of the same names only when they are closed.
            writers = {
                split: stack.enter_context(shards.open_shard(examples, facts, split, shard, count))
                for split in features.SPLITS
            }
            for split, (records, rows) in old.items():
                described = map(shards.to_facts, shards.read_table(rows).to_pylist())
                for record, row in zip(shards.read_records(records), described, strict=True):
                    target = final.get(row[features.CONTENT_HASH].decode(), split)  # type: ignore[union-attr]
                    if target != DROPPED:
                        writers[target].write(record, row)
