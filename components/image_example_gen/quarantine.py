"""What was left out and why: the `quarantine` artifact."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import tensorflow as tf

from components.image_example_gen.sources import DataError

FILE = "quarantine.json"
"""{"images": all, "reasons": {reason: count}, "left_out": [{"path", "label", "reason"}]}"""
DUPLICATES = "duplicates.json"
"""As `duplicate_report.report` returns it."""


@dataclass
class Account:
    """What all parts together have read."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    """Usable images by split and class."""
    left_out: list[dict[str, str]] = field(default_factory=list)
    """The others, by path."""

    @property
    def usable(self) -> int:
        """Images that can be used."""
        return sum(counts.total() for counts in self.counts.values())

    @property
    def reasons(self) -> Counter[str]:
        """Images left out, by reason."""
        return Counter(one["reason"].partition(":")[0] for one in self.left_out)


def collect(folder: str) -> Account:
    """Merges the accounts of the parts into FILE."""
    account = Account()
    parts = sorted(tf.io.gfile.glob(os.path.join(folder, "part-*.json")))
    for name in parts:
        with tf.io.gfile.GFile(name) as stream:
            part = json.load(stream)
        for split, counts in part["counts"].items():
            account.counts.setdefault(split, Counter()).update(counts)
        account.left_out += part["left_out"]
    account.left_out.sort(key=lambda one: one["path"])
    images = account.usable + len(account.left_out)
    write_json(
        os.path.join(folder, FILE),
        {"images": images, "reasons": dict(account.reasons.most_common()), "left_out": account.left_out},
    )
    for name in parts:
        tf.io.gfile.remove(name)
    return account


def write_json(path: str, value: object) -> None:
    """Writes a JSON file for people and programs."""
    with tf.io.gfile.GFile(path, "w") as stream:
        stream.write(json.dumps(value, indent=1, ensure_ascii=False))


def refuse_unusable(account: Account, share: float, where: str) -> None:
    """Stops when a class has nothing left or too much was left out.

    Raises:
      DataError: says how much, why, and what to do.
    """
    usable: set[str] = set().union(*account.counts.values()) if account.counts else set()
    for label, reasons in by_label(account.left_out).items():
        if label and label not in usable:
            raise DataError(
                f"{where}: class {label} has no images; its {reasons.total():,} files are left out ({told(reasons)}); "
                "add some or remove its folder."
            )
    images, left_out = account.usable + len(account.left_out), len(account.left_out)
    if left_out > share * images:
        first = account.left_out[0]
        raise DataError(
            f"{where}: {left_out:,} of {images:,} images ({left_out / images:.1%}) are unusable "
            f"({told(account.reasons)}), more than data.limits.quarantine, {share:.1%}; "
            f"the first is {first['path']}: {first['reason']}."
        )


def by_label(left_out: Sequence[Mapping[str, str]]) -> dict[str, Counter[str]]:
    """Reasons by class."""
    found: dict[str, Counter[str]] = {}
    for one in left_out:
        found.setdefault(one["label"], Counter())[one["reason"].partition(":")[0]] += 1
    return found


def told(reasons: Counter[str]) -> str:
    """12 not an image, 3 truncated."""
    return ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
