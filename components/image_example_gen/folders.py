"""Folders of images: one sub-folder per class."""

import os
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from stat import S_ISREG

from components.image_example_gen.config import DataConfig
from components.image_example_gen.sources import (
    DataError,
    ImageFile,
    Item,
    Part,
    Source,
    class_of,
    group_of,
    is_clutter,
    read_file,
    refuse_single_class,
)
from components.image_example_gen.storage import StorageError, below, scheme_of, why

AHEAD = 8
"""Files of a store that are read at a time."""
EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")


def open_folders(path: str, config: DataConfig) -> Source:
    """Class folders as a source."""
    images = list_images(path, config)
    return files_source(images)


def files_source(images: Sequence[ImageFile]) -> Source:
    """One file per image; they are mixed, so that every shard has images of every class."""

    def parts(shards: int) -> list[Part]:
        mixed = list(images)
        random.Random(0).shuffle(mixed)
        return [Part(read_files, mixed[shard::shards], (shard,)) for shard in range(shards)]

    return Source(images, lambda: len(images), parts)


def read_files(files: Sequence[ImageFile], config: DataConfig) -> Iterator[Item]:
    """Reads files one after the other, from a store several ahead: it takes its time to answer."""
    read = partial(read_file, limit=config.limits.file_bytes)
    if not files or not scheme_of(files[0].path):
        yield from map(read, files)
        return
    with ThreadPoolExecutor(AHEAD) as pool:
        for start in range(0, len(files), AHEAD):
            yield from pool.map(read, files[start : start + AHEAD])


def list_images(folder: str, config: DataConfig | None = None) -> list[ImageFile]:
    """Every file in a class folder below `folder`, sorted by path; the class is the first folder below it.

    Whether a file is an image is found out when it is read. Hidden files and sidecar files are passed over, symbolic
    links are followed.

    Raises:
      DataError: the folder does not exist, has no class folders with files, a single class, or an empty class.
    """
    config = config or DataConfig(path=folder)
    root = folder.rstrip("/") + "/"
    images, anything = [], False
    for path, size, modified, trouble in walk(root):
        anything = True
        relative = path[len(root) :]
        label, split = class_of(relative, config)
        if label and not is_clutter(relative):
            images.append(ImageFile(path, label, size, modified, group_of(relative, config), split, trouble))
    if not anything:
        raise DataError(f"{folder} does not exist or is empty; it should hold one folder of images per class.")
    classes = {image.label for image in images}
    if not images:
        raise DataError(
            f"{folder} has no images in class folders (such as {root}cat/1.png); readable are {', '.join(EXTENSIONS)}."
        )
    if config.splits.mode != "predefined" and (empty := sorted(class_folders(root) - classes)):
        raise DataError(f"{folder}: class {empty[0]} has no images; add some or remove its folder.")
    refuse_single_class(classes, folder)
    return sorted(images)


def walk(root: str) -> Iterator[tuple[str, int, float, str]]:
    """(path, bytes, modified, trouble) of every file below `root`.

    Raises:
      DataError: it cannot be listed.
    """
    if not scheme_of(root):
        yield from walk_local(root.rstrip("/") or "/", ())
        return
    try:
        for file in below(root):
            yield file.path, file.size, file.modified, ""
    except StorageError:
        raise
    except Exception as error:  # each file system has its own
        raise DataError(f"{root} cannot be read: {why(error)}") from error


def walk_local(folder: str, above: tuple[str, ...]) -> Iterator[tuple[str, int, float, str]]:
    """Beam does not follow links to folders; `above` are the real folders on the way, so that no cycle is entered."""
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror}.") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from walk_local(entry.path, (*above, real))
            continue
        try:
            status = entry.stat()
        except OSError as error:
            yield entry.path, 0, 0.0, f"unreadable: {error.strerror}"
            continue
        if S_ISREG(status.st_mode):
            yield entry.path, status.st_size, status.st_mtime, ""
        elif entry.is_symlink():
            yield entry.path, 0, 0.0, "unreadable: a symbolic link that leads nowhere"


def class_folders(root: str) -> set[str]:
    """Names of the sub-folders; object stores have no empty folders, so only a local file system lists them."""
    if scheme_of(root):
        return set()
    return {entry.name for entry in Path(root).iterdir() if entry.is_dir() and not is_clutter(entry.name)}
