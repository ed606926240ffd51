"""Lists folders of images: one sub-folder per class."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp")


class DataError(ValueError):
    """Images that a pipeline cannot be built on; the message says what to do."""


class ImageFile(NamedTuple):
    """One image file that was found."""

    path: str
    label: str
    size: int
    """Bytes."""
    modified: float
    """Seconds since 1970."""


def list_images(folder: str) -> list[ImageFile]:
    """Every image below `folder`, sorted by path; the class is the first folder below it.

    Hidden files and files that are no images by their name are passed over.

    Raises:
      DataError: the folder does not exist, has no class folders with images, a single class, or an empty class.
    """
    root = folder.rstrip("/") + "/"
    try:
        found = FileSystems.match([root + "**"])[0].metadata_list
    except BeamIOError as error:
        raise DataError(f"{folder} cannot be read: {error}") from error
    if not found:
        raise DataError(f"{folder} does not exist or is empty; it should hold one folder of images per class.")
    images = [
        ImageFile(entry.path, label, entry.size_in_bytes, entry.last_updated_in_seconds or 0.0)
        for entry in found
        if (label := _label(entry.path[len(root) :])) and entry.path.lower().endswith(EXTENSIONS)
    ]
    classes = {image.label for image in images}
    if not images:
        raise DataError(
            f"{folder} has no images in class folders (such as {root}cat/1.png); readable are {', '.join(EXTENSIONS)}."
        )
    if empty := sorted(class_folders(root) - classes):
        raise DataError(f"{folder}: class {empty[0]} has no images; add some or remove its folder.")
    if len(classes) == 1:
        raise DataError(f"{folder} has a single class, {classes.pop()}; a classifier needs two or more.")
    return sorted(images)


def class_folders(root: str) -> set[str]:
    """Names of the sub-folders; object stores have no empty folders, so only a local file system lists them."""
    filesystem = FileSystems.get_filesystem(root)
    if filesystem.scheme() is not None:
        return set()
    from pathlib import Path

    return {entry.name for entry in Path(root).iterdir() if entry.is_dir() and not entry.name.startswith(".")}


def fingerprint(images: Iterable[ImageFile]) -> str:
    """Changes when a file is added, removed, renamed, resized or touched. 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"{image.path}\0{image.size}\0{image.modified}\n".encode())
    return digest.hexdigest()


def _label(relative: str) -> str:
    """The class of a path relative to the root; "" for files outside of class folders and hidden ones."""
    parts = relative.split("/")
    return parts[0] if len(parts) > 1 and not any(part.startswith(".") for part in parts) else ""
