"""Copies and near copies: across splits they flatter the evaluation, with different labels they contradict."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from components.image_example_gen.pixels import PERCEPTUAL_HASH
from transform import features

COLUMNS = (features.CONTENT_HASH, features.LABEL, features.PATH, PERCEPTUAL_HASH)
BLOCK = 32
"""Perceptual hashes compared with all others at a time; what comes of it stays in the processor's cache."""

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
    firsts, seconds, differing = near_indices(bits, distance)
    codes = hashed[features.CONTENT_HASH].combine_chunks().dictionary_encode().indices.to_numpy()
    different = codes[firsts] != codes[seconds]
    firsts, seconds, differing = firsts[different], seconds[different], differing[different]
    taken = np.unique([firsts, seconds])
    rows = dict(zip(taken.tolist(), hashed.take(pa.array(taken, pa.int64())).to_pylist(), strict=True))
    pairs = [(rows[i], rows[j], n) for i, j, n in zip(*(a.tolist() for a in (firsts, seconds, differing)), strict=True)]
    return sorted(pairs, key=lambda pair: (pair[2], pair[0][features.PATH], pair[1][features.PATH]))


def near_indices(bits: np.ndarray, distance: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices i < j of the pairs in uint64 [n, 4] that differ in at most `distance` bits, and in how many they do."""
    ones = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
    # An image without edges, or with very few, is near to every other of its kind and says nothing.
    telling = np.flatnonzero(ones > 2 * distance)
    order = telling[np.argsort(ones[telling], kind="stable")]
    bits, ones = bits[order], ones[order]
    # Most pairs differ enough in the words that vary most; only the rest is compared in full.
    by_variety = sorted(range(4), key=lambda word: -len(np.unique(bits[:, word])))
    words = [np.ascontiguousarray(bits[:, word]) for word in by_variety[: 1 + min(distance // 16, 2)]]
    found = [(np.zeros(0, np.int64),) * 3]
    for start in range(0, len(bits), BLOCK):
        stop = min(start + BLOCK, len(bits))
        # Hashes whose numbers of ones differ by more than `distance` do so themselves.
        end = int(np.searchsorted(ones, ones[stop - 1] + distance, side="right"))
        some = sum(np.bitwise_count(word[start:stop, None] ^ word[None, start:end]) for word in words)
        rows, columns = np.divmod(np.flatnonzero(some <= distance), end - start)
        rows, columns = rows[columns > rows] + start, columns[columns > rows] + start
        differing = np.bitwise_count(bits[rows] ^ bits[columns]).sum(axis=1, dtype=np.int64)
        near = differing <= distance
        pairs = np.sort([order[rows[near]], order[columns[near]]], axis=0)
        found.append((pairs[0], pairs[1], differing[near]))
    firsts, seconds, differing = map(np.concatenate, zip(*found, strict=True))
    return firsts, seconds, differing


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
