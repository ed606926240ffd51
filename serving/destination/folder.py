"""A destination that is a folder: a lock serializes changes, a rename makes and withdraws versions.

Besides what `serving.destination` describes:
  .last_version       the highest number ever given, so that a deleted version's number is not used again
  .lock               held while a number is chosen and a version put in place
  .staging-<uuid>/owner   locked by the push that lives, so that the next one can tell it from a dead one
"""

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from serving.destination import MANIFEST, SAVED_MODEL, STAGING, WITHDRAWN, Staged

_CHUNK = 1 << 20


class Folder:
    """A folder of this machine, or a network file system mounted on it."""

    def __init__(self, path: Path):
        self.path = path

    def versions(self) -> list[int]:
        return list(self.folders())

    def folders(self) -> dict[int, Path]:
        """The complete versions and their folders, in rising order; TensorFlow Serving reads leading zeros too."""
        return {number: folder for number, folder in _numbered(self.path) if (folder / SAVED_MODEL).is_file()}

    def withdrawn(self) -> list[int]:
        return [number for number, folder in _numbered(self.path / WITHDRAWN) if (folder / SAVED_MODEL).is_file()]

    def last_number(self) -> int:
        record = self.path / ".last_version"
        last = int(record.read_text()) if record.is_file() else 0
        return max(last, *(number for root in (self.path, self.path / WITHDRAWN) for number, _ in _numbered(root)), 0)

    def read(self, path: str) -> bytes | None:
        try:
            return (self.path / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, path: str, content: bytes) -> None:
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(self.path / ".new", content)
        os.replace(self.path / ".new", target)
        _sync(target.parent)

    def delete(self, path: str) -> None:
        (self.path / path).unlink(missing_ok=True)

    def names(self, folder: str) -> list[str]:
        with suppress(FileNotFoundError):
            return sorted(path.name for path in (self.path / folder).iterdir() if path.is_file())
        return []

    def fetch(self, version: int, into: Path) -> Path:
        return self.folders()[version]

    @contextmanager
    def stage(self, source: Path, extra: Path | None) -> Iterator[Staged]:
        self.path.mkdir(parents=True, exist_ok=True)
        with self._staging() as staging:
            model = staging / "model"
            files = _copy(source, model)
            if extra:
                added = _copy(extra, model / "assets.extra")
                files |= {f"assets.extra/{name}": digest for name, digest in added.items()}
            yield Staged(staging.name, dict(sorted(files.items())))

    def place(
        self, staged: Staged, model: str, pushed: Callable[[], int | None], prepare: Callable[[int], bytes]
    ) -> int:
        with self.exclusively():
            if (version := pushed()) is not None:
                return version
            number = self._take_number(self.path / staged.folder)
            finished = self.path / staged.folder / "model"
            _write(finished / MANIFEST, prepare(number))
            _sync_folders(finished)
            os.rename(finished, self.path / str(number))
            _sync(self.path)
            return number

    def withdraw(self, version: int) -> None:
        (self.path / WITHDRAWN).mkdir(exist_ok=True)
        os.rename(self.folders()[version], self.path / WITHDRAWN / str(version))
        _sync(self.path)

    def restore(self, version: int) -> None:
        os.rename(self.path / WITHDRAWN / str(version), self.path / str(version))
        _sync(self.path)

    def remove(self, version: int) -> None:
        with self._staging(locked=True) as staging:
            for root in (self.path, self.path / WITHDRAWN):
                for number, folder in _numbered(root):
                    if number == version:
                        os.rename(folder, staging / f"{root.name}-{folder.name}")

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        with open(self.path / ".lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _take_number(self, staging: Path) -> int:
        """Takes the next number; it stays taken even if this push dies now. Only under the destination's lock."""
        number = self.last_number() + 1
        _write(staging / "last_version", f"{number}\n".encode())
        os.replace(staging / "last_version", self.path / ".last_version")
        _sync(self.path)
        return number

    @contextmanager
    def _staging(self, locked: bool = False) -> Iterator[Path]:
        """A folder for one change, removed at its end. Its owner holds a lock in it, which dies with the process."""
        if locked:
            staging, owner = self._make_staging()
        else:
            with self.exclusively():
                staging, owner = self._make_staging()
        with owner:
            try:
                yield staging
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def _make_staging(self) -> tuple[Path, TextIO]:
        self._remove_stale()
        staging = self.path / f"{STAGING}{uuid.uuid4().hex}"
        staging.mkdir()
        try:
            owner = open(staging / "owner", "a")  # noqa: SIM115  (its lock must outlive this function)
            fcntl.flock(owner, fcntl.LOCK_EX)
        except OSError:
            shutil.rmtree(staging)
            raise
        return staging, owner

    def _remove_stale(self) -> None:
        """Removes what dead pushes left. Only under the destination's lock: a live push has its own by then."""
        for staging in self.path.glob(f"{STAGING}*"):
            try:
                with open(staging / "owner", "a") as owner:
                    fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(staging, ignore_errors=True)
            except BlockingIOError:
                continue  # its push is alive
            except FileNotFoundError:
                with suppress(OSError):  # its push has just removed it, or died before it made `owner`
                    staging.rmdir()


def _numbered(root: Path) -> list[tuple[int, Path]]:
    if not root.is_dir():
        return []
    folders = [folder for folder in root.iterdir() if folder.name.isascii() and folder.name.isdigit()]
    return sorted((int(folder.name), folder) for folder in folders if folder.is_dir())


def _copy(source: Path, target: Path) -> dict[str, str]:
    """Copies a folder and forces it to disk; returns each file's SHA-256 by relative path. Links are followed."""
    digests = {}
    for folder, _, names in os.walk(source, followlinks=True):
        relative = Path(folder).relative_to(source)
        (target / relative).mkdir(exist_ok=True)
        for name in names:
            if (relative / name).as_posix() != MANIFEST:
                digests[(relative / name).as_posix()] = _copy_file(Path(folder) / name, target / relative / name)
    return digests


def _copy_file(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with open(source, "rb") as reader, open(target, "wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as writer:
        writer.write(content)
        writer.flush()
        os.fsync(writer.fileno())


def _sync_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root):
        _sync(Path(folder))


def _sync(folder: Path) -> None:
    """Forces a folder's names to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
