"""What every kind of source has in common, and which kind a path is."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

from components.image_example_gen.config import DataConfig
from components.image_example_gen.items import Item
from components.image_example_gen.storage import reach, read_at_most, refuse_lost_store, scheme_of, stat, why

LISTINGS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MODULES = {
    "folders": "folders", "listing": "listings", "archive": "archives", "tfrecords": "tfrecords", "idx": "idx",
}  # fmt: skip
"""Modules by the kind of source; only the one that is needed is imported."""
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "eval": "eval", "val": "eval", "valid": "eval", "validation": "eval", "dev": "eval",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What authors call the splits."""
SIDECARS = ("thumbs.db", "desktop.ini", "ehthumbs.db")
MORE = 2**20
"""Bytes read at a time of a file that has grown."""


class DataError(ValueError):
    """Images that a pipeline cannot be built on; the message says what to do."""


class ImageFile(NamedTuple):
    """One image, or one file of many, that was found."""

    path: str
    label: str
    size: int
    """Bytes."""
    modified: float
    """Seconds since 1970."""
    group: str = ""
    """What must stay in one split together."""
    split: str = ""
    """The split its authors put it in."""
    trouble: str = ""
    """Why it cannot be read, where that is known already."""


@dataclass(frozen=True)
class Part:
    """What one worker reads from beginning to end."""

    read: Callable[[Any, DataConfig], Iterator[Item]]
    what: Any
    shards: tuple[int, ...]
    """Numbers of the output files that it alone fills, in turns."""


@dataclass(frozen=True)
class Source:
    """Where images come from."""

    files: Sequence[ImageFile]
    """What was listed; its change is what makes the data new."""
    count: Callable[[], int]
    """Counts the images, usable or not; some kinds must read their files for it."""
    parts: Callable[[int], list[Part]]
    """Divides the work among a number of shards."""


def open_source(path: str, config: DataConfig) -> Source:
    """Lists the images at `path` without reading them.

    Raises:
      DataError: there are none, or not as its kind needs them; says what is missing.
      StorageError: the store cannot be used.
    """
    reach(path)
    kind = config.source if config.source != "auto" else kind_of(path)
    return getattr(import_module(f"{__package__}.{MODULES[kind]}"), f"open_{kind}")(path, config)


def kind_of(path: str) -> str:
    """The kind of source by the name of the path."""
    name = path.lower().rstrip("/")
    if name.endswith(LISTINGS):
        return "listing"
    if name.endswith(ARCHIVES):
        return "archive"
    if re.search(r"idx[34]-u?byte(\.gz)?$", name):
        return "idx"
    if re.search(r"tfrecords?([-.][^/]*)?$", name) or "*" in name:
        return "tfrecords"
    return "folders"


def fingerprint(files: Iterable[ImageFile]) -> str:
    """Changes when a file is added, removed, renamed, resized, relabelled or touched. 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path}\0{file.label}\0{file.group}\0{file.split}\0{file.size}\0{file.modified}\n".encode())
    return digest.hexdigest()


def stamp(path: str) -> ImageFile:
    """A file of many images, with its size and the time of its last change."""
    found = stat(path)
    return ImageFile(path, "", found.size, found.modified)


def read_file(file: ImageFile, limit: int) -> Item:
    """Reads one image file; one that is over the limit is not read.

    Raises:
      StorageError: the store that it is in cannot be used.
    """
    encoded, trouble = b"", file.trouble
    if not trouble and file.size > limit:
        trouble = over_limit(file.size, limit)
    if not trouble:
        try:
            encoded = read_at_most(file.path, limit + 1) if scheme_of(file.path) else read_local(file, limit)
        except Exception as error:  # each file system has its own
            refuse_lost_store(file.path, error)
            trouble = f"unreadable: {why(error)}"
    return Item(file.path, file.label, encoded, file.group, file.split, trouble)


def read_local(file: ImageFile, limit: int) -> bytes:
    """A file's bytes, without what Beam's file system costs per file; a little more than the limit."""
    descriptor = os.open(file.path, os.O_RDONLY)
    try:
        encoded = os.read(descriptor, file.size + 1)
        # It has changed since it was listed.
        while len(encoded) != file.size and len(encoded) <= limit and (more := os.read(descriptor, MORE)):
            encoded += more
    finally:
        os.close(descriptor)
    return encoded


def over_limit(size: int, limit: int) -> str:
    """The trouble of a file that is too large."""
    return f"too many bytes: {size:,}, and data.limits.file_bytes is {limit:,}"


def group_of(relative: str, config: DataConfig) -> str:
    """What `data.group` finds in a path below the root.

    Raises:
      DataError: it finds nothing.
    """
    if not config.group:
        return ""
    found = re.search(config.group, relative)
    if not found:
        raise DataError(f"data.group: {config.group!r} finds nothing in {relative}; every image needs a group.")
    return found.group(1) if found.re.groups else found.group(0)


def named(number: int, config: DataConfig, place: str) -> str:
    """The name of a numbered class, or its number where `data.class_names` is empty.

    Raises:
      DataError: `data.class_names` has no such position.
    """
    if not config.class_names:
        return str(number)
    if not 0 <= number < len(config.class_names):
        raise DataError(f"{place} is of class {number}, but data.class_names has {len(config.class_names)} names.")
    return config.class_names[number]


def split_named(name: str) -> str:
    """The split that authors call by a name; "" when it names none."""
    return SPLIT_NAMES.get(name.strip().lower(), "")


def class_of(relative: str, config: DataConfig) -> tuple[str, str]:
    """(label, predefined split) of a path below the root of class folders; label "" outside of them."""
    parts = relative.split("/")[:-1]
    if config.splits.mode == "predefined" and parts and split_named(parts[0]):
        return (parts[1] if len(parts) > 1 else ""), split_named(parts[0])
    return (parts[0] if parts else ""), ""


def is_clutter(relative: str) -> bool:
    """Whether a path is what systems leave behind: hidden files and folders, thumbnails, metadata of archives."""
    parts = f"/{relative}/"
    return "/." in parts or "/__MACOSX/" in parts or relative.rpartition("/")[2].lower() in SIDECARS


def refuse_single_class(labels: Iterable[str], where: str) -> None:
    """Raises DataError when there are fewer than two classes."""
    classes = set(labels)
    if len(classes) == 1:
        raise DataError(f"{where} has a single class, {classes.pop()}; a classifier needs two or more.")
