"""Which split an image belongs to: pure functions of hashes and counts."""

import hashlib
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate

from components.image_example_gen.config import SplitConfig

RULE_OF_THUMB = ((1000, {"train": 3, "eval": 1, "test": 1}), (10_000, {"train": 8, "eval": 1, "test": 1}))
"""Buckets below a number of images: 20 % and 10 % held out (handbook, part 9, "Split Percentages")."""
LARGE = {"train": 18, "eval": 1, "test": 1}
"""Buckets from then on: 5 % held out."""


def buckets_for(splits: SplitConfig, images: int) -> dict[str, int]:
    """Buckets by split, without empty splits.

    Args:
      splits: the settings.
      images: how many there are, for `auto`.
    """
    chosen = {"train": splits.train, "eval": splits.eval, "test": splits.test}
    if splits.mode == "auto":
        chosen = next((buckets for below, buckets in RULE_OF_THUMB if images < below), LARGE)
        if splits.test == 0:
            chosen = {split: count for split, count in chosen.items() if split != "test"}
    return {split: count for split, count in chosen.items() if count}


def hash_of(text: str) -> str:
    """SHA-256 of a group's name, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def split_of(content_hash: str, buckets: Mapping[str, int]) -> str:
    """The split of an image, by its content (or group) alone.

    A copy gets the split of its original, and adding data moves nothing: neither names, order, machine nor
    the other images count.

    Args:
      content_hash: SHA-256 of the encoded bytes or of the group, in hexadecimal.
      buckets: number of buckets by split, in the order of the splits.

    Returns:
      The name of the split.
    """
    bounds = list(accumulate(buckets.values()))
    return list(buckets)[bisect(bounds, int(content_hash, 16) % bounds[-1])]


def stratify(keys: Iterable[tuple[str, str]], buckets: Mapping[str, int]) -> dict[str, str]:
    """Exact shares within every class, to within one image where every key has one.

    Args:
      keys: (key, label) of each image; what has the same key (content hash or group hash) stays together, and counts
        to the class that most of it has.
      buckets: number of buckets by split.

    Returns:
      The split of each key; the order of `keys` does not matter.
    """
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for key, label in keys:
        labels[key][label] += 1
    classes: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for key, counts in labels.items():
        label = min(counts, key=lambda name: (-counts[name], name))
        classes[label].append((-counts.total(), key))
    assigned = {}
    for units in classes.values():
        room = apportion(-sum(weight for weight, _ in units), buckets)
        for weight, key in sorted(units):
            split = max(room, key=lambda name: room[name])
            room[split] += weight
            assigned[key] = split
    return assigned


def apportion(images: int, buckets: Mapping[str, int]) -> dict[str, int]:
    """Whole numbers in the proportion of the buckets that add up to `images` (largest remainder; ties go to the
    smaller splits), and at least one each where there are enough images.
    """
    total = sum(buckets.values())
    exact = {split: images * count / total for split, count in buckets.items()}
    whole = {split: int(share) for split, share in exact.items()}
    by_remainder = sorted(exact, key=lambda split: (whole[split] - exact[split], buckets[split]))
    for split in by_remainder[: images - sum(whole.values())]:
        whole[split] += 1
    for split in whole:
        largest = max(whole, key=lambda name: whole[name])
        if whole[split] == 0 and whole[largest] > 1:
            whole[split], whole[largest] = 1, whole[largest] - 1
    return whole


def chi_square(counts: Mapping[str, Mapping[str, int]]) -> tuple[float, int, float]:
    """Pearson's test of whether classes and splits are independent.

    Args:
      counts: images by split and class.

    Returns:
      Chi-square, degrees of freedom, and the probability of a value as high or higher by chance.
    """
    from scipy.stats import chi2_contingency

    classes = sorted({name for by_class in counts.values() for name in by_class})
    table = [[by_class.get(name, 0) for name in classes] for by_class in counts.values() if sum(by_class.values())]
    result = chi2_contingency(table, correction=False)
    return float(result.statistic), int(result.dof), float(result.pvalue)
