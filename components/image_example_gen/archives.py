"""Zip and tar archives of class folders, read without unpacking them to a disk."""

import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

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
    over_limit,
    refuse_single_class,
    stamp,
)
from components.image_example_gen.storage import open_bytes

BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
"""What reading damaged archives, unknown compressions and encrypted members raises."""


class Member(NamedTuple):
    """A file of an archive."""

    name: str
    size: int
    """Bytes when unpacked."""
    trouble: str


class Members(NamedTuple):
    """What a worker reads of an archive."""

    archive: str
    files: Sequence[ImageFile]
    """With names of members as paths."""


def open_archive(path: str, config: DataConfig) -> Source:
    """An archive as a source; a folder that holds everything else is looked through.

    Raises:
      DataError: it cannot be read, has no class folders or a single one.
    """
    try:
        listed = zip_members(path) if is_zip(path) else tar_members(path)
    except BROKEN as error:
        raise DataError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    listed = [member for member in listed if not is_clutter(member.name)]
    root = common_root([member.name for member in listed], config)
    files = []
    for member in listed:
        relative = member.name[len(root) :]
        label, split = class_of(relative, config)
        if label:
            group = group_of(relative, config)
            files.append(ImageFile(member.name, label, member.size, 0.0, group, split, member.trouble))
    if not files:
        raise DataError(f"{path} has no images in class folders (such as cat/1.png).")
    refuse_single_class((file.label for file in files), path)

    def parts(shards: int) -> list[Part]:
        if not is_zip(path):  # a stream has one reader
            return [Part(read_tar, Members(path, files), tuple(range(shards)))]
        size = -(-len(files) // shards)
        return [
            Part(read_zip, Members(path, files[shard * size : (shard + 1) * size]), (shard,)) for shard in range(shards)
        ]

    # Members carry no reliable times.
    return Source([*files, stamp(path)], lambda: len(files), parts)


def is_zip(path: str) -> bool:
    """Whether a path names a zip archive."""
    return path.lower().endswith(".zip")


def zip_members(path: str) -> list[Member]:
    """The files of a zip's directory, in its order."""
    with open_bytes(path) as stream, zipfile.ZipFile(stream) as archive:
        return [
            Member(info.filename, info.file_size, "unreadable: encrypted" if info.flag_bits & 1 else "")
            for info in archive.infolist()
            if not info.is_dir()
        ]


def tar_members(path: str) -> list[Member]:
    """The files of a tar, in its order."""
    with open_bytes(path) as stream, tarfile.open(fileobj=stream, mode="r|*") as archive:
        return [Member(plain(info.name), info.size, tar_trouble(info)) for info in archive if not info.isdir()]


def tar_trouble(info: tarfile.TarInfo) -> str:
    """Why a member of a tar cannot be read."""
    return "" if info.isreg() else "unreadable: a link or a device in the archive"


def plain(name: str) -> str:
    """A member's name without a leading ./"""
    return posixpath.normpath(name).removeprefix("/")


def common_root(names: Iterable[str], config: DataConfig) -> str:
    """The folders that all files share, as "images/", as long as class folders are left below."""
    split = [name.split("/") for name in names]
    depth = 0
    while split and all(len(parts) > depth + 2 for parts in split) and len({parts[depth] for parts in split}) == 1:
        depth += 1
    return "".join(f"{part}/" for part in split[0][:depth]) if split else ""


def read_zip(members: Members, config: DataConfig) -> Iterator[Item]:
    """Reads members of a zip one after the other."""
    with open_bytes(members.archive) as stream, zipfile.ZipFile(stream) as archive:
        for file in members.files:
            yield read_member(file, members.archive, config, lambda file=file: archive.open(file.path))


def read_tar(members: Members, config: DataConfig) -> Iterator[Item]:
    """Reads a tar once from beginning to end."""
    wanted = iter(members.files)
    file = next(wanted, None)
    with open_bytes(members.archive) as stream, tarfile.open(fileobj=stream, mode="r|*") as archive:
        for info in archive:
            if file is None:
                return
            if plain(info.name) == file.path and not info.isdir():
                yield read_member(file, members.archive, config, lambda info=info: archive.extractfile(info))
                file = next(wanted, None)


def read_member(file: ImageFile, archive: str, config: DataConfig, open_member: Any) -> Item:
    """Reads one member; one that is over the limit is not unpacked."""
    item = Item(f"{archive}/{file.path}", file.label, b"", file.group, file.split, file.trouble)
    limit = config.limits.file_bytes
    if file.trouble:
        return item
    if file.size > limit:
        return item._replace(trouble=over_limit(file.size, limit))
    try:
        with open_member() as stream:
            encoded = stream.read(limit + 1)  # what the archive says of the size may be a lie
    except BROKEN as error:
        return item._replace(trouble=f"unreadable: {error}")
    return item._replace(encoded=encoded)
