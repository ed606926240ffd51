"""A destination in an object store: no rename, no lock, only objects that are made once.

Besides what `serving.destination` describes, about the number N of a version:
  .claims/N     made once, by the push that takes the number: the model it is for; never used by another model.
                Says `done` from when the version is complete
  .ends/N       made once, by whoever decides first: "published", then `saved_model.pb` follows as the last object,
                or "abandoned"

A push that died between two objects is finished by the next push of the same model, which writes the same
objects, or abandoned by it. So pushes at the same time need not wait for each other, and cannot give a model two
versions.
"""

import hashlib
import json
import os
import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from serving.destination import MANIFEST, SAVED_MODEL, STAGING, WITHDRAWN, PublishError, Staged
from serving.destination.objects import Objects

_CLAIMS = ".claims"
_ENDS = ".ends"
_STALE = timedelta(days=1)
_TAKEN = re.compile(rf"(?:{re.escape(_CLAIMS)}/|{re.escape(WITHDRAWN)}/)?(\d+)(?:/|$)")


class Bucket:
    """A prefix of an object store."""

    def __init__(self, objects: Objects):
        self._objects = objects

    def versions(self) -> list[int]:
        return _complete(self._objects.list())

    def withdrawn(self) -> list[int]:
        found = self._objects.list()
        below = {name.removeprefix(f"{WITHDRAWN}/"): when for name, when in found.items() if name.startswith(WITHDRAWN)}
        return sorted(set(_complete(below)) - set(_complete(found)))  # it may have been interrupted half-way

    def last_number(self) -> int:
        return max((int(match[1]) for name in self._objects.list() if (match := _TAKEN.match(name))), default=0)

    def read(self, path: str) -> bytes | None:
        return self._objects.get(path)

    def write(self, path: str, content: bytes) -> None:
        self._objects.put(path, content)

    def delete(self, path: str) -> None:
        self._objects.delete([path])

    def names(self, folder: str) -> list[str]:
        return sorted(name.removeprefix(f"{folder}/") for name in self._objects.list(f"{folder}/"))

    def fetch(self, version: int, into: Path) -> Path:
        target = into / str(version)
        for name in self._objects.list(f"{version}/"):
            file = target / name.removeprefix(f"{version}/")
            file.parent.mkdir(parents=True, exist_ok=True)
            self._objects.download(name, file)
        return target

    @contextmanager
    def stage(self, source: Path, extra: Path | None) -> Iterator[Staged]:
        self._remove_stale()
        folder, files = f"{STAGING}{uuid.uuid4().hex}", {}
        uploads = dict(_files(source)) | {f"assets.extra/{name}": file for name, file in _files(extra)}
        try:
            for name, file in uploads.items():
                with open(file, "rb") as reader:
                    files[name] = hashlib.file_digest(reader, "sha256").hexdigest()
                self._objects.upload(file, f"{folder}/{name}")
            yield Staged(folder, dict(sorted(files.items())))
        finally:
            with suppress(PublishError):  # a store that is away now: a later push removes it
                self._objects.delete(self._objects.list(f"{folder}/"))

    def place(
        self, staged: Staged, model: str, pushed: Callable[[], int | None], prepare: Callable[[int], bytes]
    ) -> int:
        while True:
            number = self._claim(model)
            if (version := pushed()) is not None:
                return version
            manifest = prepare(number)
            for name in staged.files:
                if name != SAVED_MODEL:
                    self._objects.copy(f"{staged.folder}/{name}", f"{number}/{name}")
            self._objects.put(f"{number}/{MANIFEST}", manifest)
            # A later number may have become complete meanwhile: this one would never be served.
            end = "published" if number > max(self.versions(), default=0) else "abandoned"
            if self._end(number, end) == "abandoned":
                self._objects.delete(self._objects.list(f"{number}/"))
                continue
            self._objects.copy(f"{staged.folder}/{SAVED_MODEL}", f"{number}/{SAVED_MODEL}")
            self._objects.put(f"{_CLAIMS}/{number}", _claim_of(model, done=True))
            return number

    def withdraw(self, version: int) -> None:
        self._copy_version(f"{version}/", f"{WITHDRAWN}/{version}/")
        self._remove_folder(f"{version}/")

    def restore(self, version: int) -> None:
        self._copy_version(f"{WITHDRAWN}/{version}/", f"{version}/")
        self._remove_folder(f"{WITHDRAWN}/{version}/")

    def remove(self, version: int) -> None:
        self._remove_folder(f"{version}/")
        self._remove_folder(f"{WITHDRAWN}/{version}/")

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        yield

    def _claim(self, model: str) -> int:
        """The number under which to publish a model: a new one, or one that another push of it did not finish."""
        number = self.last_number() + 1
        while not self._objects.create(f"{_CLAIMS}/{number}", _claim_of(model)):
            number += 1
        if self._objects.create(f"{_CLAIMS}/{number}", b""):
            raise PublishError(
                "The object store ignores `If-None-Match`, so that two pushes at once could overwrite each other; "
                "push to a store that honours it (Amazon S3, MinIO, SeaweedFS, Google Cloud Storage)"
            )
        complete = self.versions()
        for name in sorted(self.names(_CLAIMS), key=int):
            earlier = int(name)
            if earlier < number and earlier not in complete and self._unfinished(earlier, model):
                end = self._objects.get(f"{_ENDS}/{earlier}")
                if end is None and earlier < max(complete, default=0):
                    end = self._end(earlier, "abandoned").encode()
                if end != b"abandoned":
                    return earlier
                self._objects.delete(self._objects.list(f"{earlier}/"))
        return number

    def _unfinished(self, number: int, model: str) -> bool:
        """Whether a number was taken for this model and its version never became complete."""
        claim = json.loads(self._objects.get(f"{_CLAIMS}/{number}") or b"{}")
        return claim.get("model") == model and not claim.get("done")

    def _end(self, number: int, end: str) -> str:
        """Decides what becomes of a number, unless it is decided; returns the decision."""
        if self._objects.create(f"{_ENDS}/{number}", end.encode()):
            return end
        return (self._objects.get(f"{_ENDS}/{number}") or b"abandoned").decode()

    def _copy_version(self, source: str, target: str) -> None:
        for name in _last(SAVED_MODEL, self._objects.list(source)):
            self._objects.copy(name, target + name.removeprefix(source))

    def _remove_folder(self, folder: str) -> None:
        self._objects.delete(reversed(_last(SAVED_MODEL, self._objects.list(folder))))

    def _remove_stale(self) -> None:
        """Removes what pushes left that died a day ago."""
        found = self._objects.list()
        complete, limit = _complete(found), datetime.now(UTC) - _STALE
        folders: dict[str, list[str]] = defaultdict(list)
        for name in found:
            folders[name.split("/")[0]].append(name)
        for folder, names in folders.items():
            unfinished = folder.isdigit() and int(folder) not in complete
            if (folder.startswith(STAGING) or unfinished) and max(found[name] for name in names) < limit:
                self._objects.delete(names)


def _claim_of(model: str, done: bool = False) -> bytes:
    return json.dumps({"model": model, "done": done}).encode()


def _complete(names: Iterable[str]) -> list[int]:
    """Numbers of the folders that hold a saved model."""
    folders = {name.removesuffix(f"/{SAVED_MODEL}") for name in names if name.endswith(f"/{SAVED_MODEL}")}
    return sorted(int(folder) for folder in folders if folder.isascii() and folder.isdigit())


def _files(folder: Path | None) -> Iterator[tuple[str, Path]]:
    """Files of a folder, if any, by their relative path; without a manifest it may have."""
    if folder is None:
        return
    for root, _, names in os.walk(folder, followlinks=True):
        for file in (Path(root) / name for name in names):
            if (name := file.relative_to(folder).as_posix()) != MANIFEST:
                yield name, file


def _last(name: str, names: Iterable[str]) -> list[str]:
    """With the object of this file name at the end."""
    return sorted(names, key=lambda each: each.endswith(f"/{name}"))
