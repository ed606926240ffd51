"""Copies and near copies: across splits they flatter the evaluation, with different labels they contradict."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from components.image_example_gen.pixels import PERCEPTUAL_HASH
from transform import features

COLUMNS = (features.CONTENT_HASH, features.LABEL, features.PATH, PERCEPTUAL_HASH)
BLOCK = 512
"""Perceptual hashes compared with all others at a time."""

Rows = list[dict[str, Any]]
"""Rows of facts: what `COLUMNS` names, and the split."""
Pair = tuple[dict[str, Any], dict[str, Any], int]
"""Two rows and the bits in which their perceptual hashes differ."""


def copies(table: pa.Table) -> list[Rows]:
    """Groups of identical images, each of two or more, in the order of their hashes."""
    hashes = table[features.CONTENT_HASH].combine_chunks().dictionary_encode()
    codes = hashes.indices.to_numpy()
    repeated = np.flatnonzero(np.bincount(codes)[codes] > 1)
    groups: dict[bytes, Rows] = defaultdict(list)
    for row in table.take(pa.array(repeated)).to_pylist():
        groups[row[features.CONTENT_HASH]].append(row)
    return [sorted(groups[key], key=lambda row: row[features.PATH]) for key in sorted(groups)]


def near_pairs(table: pa.Table, distance: int) -> list[Pair]:
    """Pairs of different files that look alike, with the bits in which their perceptual hashes differ; nearest first.

    The hash is the 256-bit difference hash of the library imagehash (Krawetz, 2013).
    """
    hashed = table.filter(pa.compute.is_valid(table[PERCEPTUAL_HASH]))
    if len(hashed) < 2:
        return []
    bits = np.frombuffer(b"".join(hashed[PERCEPTUAL_HASH].to_pylist()), np.uint64).reshape(len(hashed), 4)
    # An image without edges, or with very few, is near to every other of its kind and says nothing.
    telling = np.flatnonzero(np.bitwise_count(bits).sum(axis=1) > 2 * distance)
    bits = bits[telling]
    found = []
    for start in range(0, len(bits), BLOCK):
        block, rest = bits[start : start + BLOCK], bits[start:]
        differing = np.zeros((len(block), len(rest)), np.uint8)
        far = np.zeros(differing.shape, bool)
        for word in range(4):
            count = np.bitwise_count(block[:, word, None] ^ rest[None, :, word])
            far |= differing > 255 - count
            differing += count
        near = (differing <= distance) & ~far
        rows, columns = np.nonzero(np.triu(near, 1))
        found += [(start + i, start + j, int(differing[i, j])) for i, j in zip(rows, columns, strict=True)]
    hashes = hashed[features.CONTENT_HASH].take(pa.array(telling))
    found = [(i, j, bits) for i, j, bits in found if hashes[i] != hashes[j]]
    taken = sorted({index for i, j, _ in found for index in (i, j)})
    rows_by_index = dict(zip(taken, hashed.take(pa.array(telling[taken])).to_pylist(), strict=True)) if taken else {}
    pairs = [(rows_by_index[i], rows_by_index[j], bits) for i, j, bits in found]
    return sorted(pairs, key=lambda pair: (pair[2], pair[0][features.PATH], pair[1][features.PATH]))


def is_leak(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether images are in different splits."""
    return len({row["split"] for row in rows}) > 1


def is_conflict(rows: Iterable[Mapping[str, Any]]) -> bool:
    """Whether images have different labels."""
    return len({row[features.LABEL] for row in rows}) > 1


def together(pairs: Iterable[Pair]) -> dict[str, str]:
    """For each image that has near duplicates, the lowest content hash among all that are connected by them."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for one, other, _ in pairs:
        first, second = sorted(root(row[features.CONTENT_HASH].decode()) for row in (one, other))
        parent[second] = first
    return {key: root(key) for key in list(parent)}
