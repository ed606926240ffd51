"""Where versions are kept: a folder of this machine, or a place in an object store.

DESTINATION/
  3/                  saved_model.pb  variables/  assets/  assets.extra/  manifest.json
  4/                  …
  .canaries/4         an empty file: version 4 is on trial
  .withdrawn/5/       a version that was rolled back; .withdrawn/5.json says by whom, when and why
  .identity           another one when the destination was deleted and made again
  .staging-<uuid>/    a push under way

TensorFlow Serving watches the names that are numbers and ignores the others. A version is complete when its
`saved_model.pb` is there: on a folder it appears with the rest by one rename, in an object store it is written last.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SAVED_MODEL = "saved_model.pb"
MANIFEST = "manifest.json"
STAGING = ".staging-"
CANARIES = ".canaries"
WITHDRAWN = ".withdrawn"


class PublishError(OSError):
    """A version that could not be published or withdrawn. The message says why and what to do."""


@dataclass(frozen=True)
class Staged:
    """A model beside the versions, not yet one of them."""

    folder: str
    """Where it is, relative to the destination."""
    files: dict[str, str]
    """SHA-256 of every file by its path relative to the version."""


class Destination(Protocol):
    """What both kinds can do. Paths are relative to the destination, with `/`."""

    def versions(self) -> list[int]:
        """Numbers of the complete versions, rising."""

    def withdrawn(self) -> list[int]:
        """Numbers of the withdrawn versions, rising."""

    def last_number(self) -> int:
        """The highest number ever given, 0 before the first."""

    def read(self, path: str) -> bytes | None:
        """A file's content, None where there is none."""

    def write(self, path: str, content: bytes) -> None:
        """Makes or replaces a file in one step; within `exclusively`."""

    def delete(self, path: str) -> None:
        """Removes a file; nothing happens where there is none."""

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder; none where there is no such folder."""

    def fetch(self, version: int, into: Path) -> Path:
        """The folder of a complete version on this machine: its own, or a copy below `into`."""

    def stage(self, source: Path, extra: Path | None) -> AbstractContextManager[Staged]:
        """Copies a model, and into its `assets.extra` the files of another folder; gone at the end unless placed."""

    def place(
        self, staged: Staged, model: str, pushed: Callable[[], int | None], prepare: Callable[[int], bytes]
    ) -> int:
        """Makes a staged model the next version.

        Args:
          staged: the model.
          model: its fingerprint.
          pushed: the version that holds this model already, asked when nothing can come between.
          prepare: the manifest for a number; called before that version can be seen.

        Returns:
          The version's number; that of `pushed` where it has one.
        """

    def withdraw(self, version: int) -> None:
        """Takes a version from the sight of servers, its `saved_model.pb` first."""

    def restore(self, version: int) -> None:
        """Brings a withdrawn version back."""

    def remove(self, version: int) -> None:
        """Removes a version, complete or withdrawn, its `saved_model.pb` first. Its number stays taken."""

    def exclusively(self) -> AbstractContextManager[None]:
        """Keeps other changes out where the storage can."""


def is_remote(destination: str | Path) -> bool:
    """Whether this is an object store's URI."""
    return "://" in str(destination)


def open_destination(destination: str | Path) -> Destination:
    """The destination at a folder's path or an object store's URI (s3://BUCKET/PREFIX, gs://BUCKET/PREFIX).

    Raises:
      PublishError: the URI has another scheme or no bucket.
    """
    if is_remote(destination):
        from serving.destination.bucket import Bucket
        from serving.destination.objects import open_objects

        return Bucket(open_objects(str(destination)))
    from serving.destination.folder import Folder

    return Folder(Path(destination))
