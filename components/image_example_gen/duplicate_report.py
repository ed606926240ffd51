"""What the `quarantine` artifact says of copies and near copies, with their pictures."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import tensorflow as tf

from components.image_example_gen import shards
from components.image_example_gen.config import DuplicateConfig
from components.image_example_gen.duplicates import COLUMNS, Pair, Rows, is_conflict, is_leak
from components.image_example_gen.headers import LARGEST
from components.image_example_gen.sources import ImageFile, read_file
from components.image_example_gen.thumbnails import thumbnail
from transform import features

LISTED = 24
"""Groups and pairs of each kind that are listed with their pictures; all are counted."""
SHOWN = 8
"""Images of a group that are listed."""


def load(folder: str) -> pa.Table:
    """What is needed of the facts of all splits."""
    tables = [shards.read_facts(folder, split, COLUMNS) for split in features.SPLITS]
    return pa.concat_tables([table for table in tables if table.num_columns])


def report(
    groups: Sequence[Rows],
    pairs: Sequence[Pair],
    config: DuplicateConfig,
    examples: str,
    pictures: Mapping[bytes, str],
) -> dict[str, Any]:
    """Counts, and what is listed with its pictures: leaks and conflicts first.

    Args:
      groups: of identical images.
      pairs: of near duplicates.
      config: the policy.
      examples: folder to read pictures from.
      pictures: those that are there already, by content hash.

    Returns:
      {"copies": images that repeat another, "copies_across_splits", "conflicts", "near", "near_across_splits": counts;
      "policy": of conflicts; "listed": [{"kind": "conflict" | "copy" | "near", "across_splits": bool, "distance": bits,
      "images": [{"path", "label", "split", "sha256", "picture": a data: URI}]}]}
    """
    kinds = [
        *(("conflict", group, 0) for group in groups if is_conflict(group)),
        *(("copy", group, 0) for group in groups if is_leak(group) and not is_conflict(group)),
        *(("near", [one, other], bits) for one, other, bits in pairs if is_leak((one, other))),
        *(("copy", group, 0) for group in groups if not is_leak(group) and not is_conflict(group)),
        *(("near", [one, other], bits) for one, other, bits in pairs if not is_leak((one, other))),
    ]
    taken: dict[tuple[str, bool], int] = defaultdict(int)
    listed: list[dict[str, Any]] = []
    for kind, rows, bits in kinds:
        across = is_leak(rows)
        taken[kind, across] += 1
        if taken[kind, across] <= LISTED:
            listed.append({"kind": kind, "across_splits": across, "distance": bits, "images": rows[:SHOWN]})
    missing = [row for one in listed for row in one["images"] if row[features.CONTENT_HASH] not in pictures]
    pictures = {**pictures, **load_pictures(missing, examples)}
    for one in listed:
        one["images"] = [
            {
                "path": row[features.PATH].decode(errors="replace"),
                "label": row[features.LABEL].decode(),
                "split": row["split"],
                "sha256": row[features.CONTENT_HASH].decode(),
                "picture": pictures.get(row[features.CONTENT_HASH], ""),
            }
            for row in one["images"]
        ]
    return {
        "copies": sum(len(group) - 1 for group in groups),
        "copies_across_splits": sum(map(is_leak, groups)),
        "conflicts": sum(map(is_conflict, groups)),
        "near": len(pairs),
        "near_across_splits": sum(is_leak(pair[:2]) for pair in pairs),
        "policy": config.conflicts,
        "listed": listed,
    }


def load_pictures(rows: Sequence[Mapping[str, Any]], examples: str) -> dict[bytes, str]:
    """Small pictures by content hash, from the images' own files; where they have none, from the shards."""
    pictures = {}
    for row in rows:
        path, content_hash = row[features.PATH].decode(errors="surrogateescape"), row[features.CONTENT_HASH]
        item = read_file(ImageFile(path, "", 0, 0.0), LARGEST)
        if hashlib.sha256(item.encoded).hexdigest().encode() != content_hash:
            break  # a member of an archive, or changed
        pictures[content_hash] = thumbnail(item.encoded)
    return pictures | pictures_from_shards(
        [row for row in rows if row[features.CONTENT_HASH] not in pictures], examples
    )


def pictures_from_shards(rows: Sequence[Mapping[str, Any]], examples: str) -> dict[bytes, str]:
    """Small pictures by content hash; every shard is read up to the last that is wanted."""
    wanted: dict[tuple[str, int], dict[int, bytes]] = defaultdict(dict)
    for row in rows:
        wanted[row["split"], row["shard"]][row["row"]] = row[features.CONTENT_HASH]
    pictures = {}
    for (split, shard), positions in wanted.items():
        file = sorted(tf.io.gfile.glob(os.path.join(examples, f"Split-{split}", "*.gz")))[shard]
        last = max(positions)
        for position, record in enumerate(shards.read_records(file)):
            if position in positions:
                encoded = tf.train.Example.FromString(record).features.feature[features.IMAGE].bytes_list.value[0]
                pictures[positions[position]] = thumbnail(encoded)
            if position == last:
                break
    return pictures
