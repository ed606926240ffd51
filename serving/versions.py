"""The pushed directory: what TensorFlow Serving watches, and how a model gets there exactly once and whole.

DESTINATION/
  3/                  saved_model.pb  variables/  assets/  manifest.json
  4/                  …
  .last_version       the highest number ever given, so that a deleted version's number is not used again
  .identity           another one when the folder was deleted and made again
  .lock               held while a number is chosen and a version put in place
  .staging-<uuid>/    a push under way; TensorFlow Serving ignores names that are not numbers
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

_SAVED_MODEL = "saved_model.pb"
_MANIFEST = "manifest.json"
_STAGING = ".staging-"
_CHUNK = 1 << 20


class PublishError(OSError):
    """A model that could not be published. The message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is known of one pushed version; `manifest.json` beside its `saved_model.pb`."""

    version: int
    """The number the model is served under, ≥ 1."""
    model: str
    """Fingerprint of the Model artifact it was pushed from: the same model is never pushed twice."""
    champion: int | None
    """The version being served when this one was judged, and against which it was judged."""
    pipeline: str
    """Name of the pipeline that pushed it."""
    run: str
    """Identity of the run that pushed it."""
    pushed_at: str
    """ISO 8601, UTC, to the second."""
    metrics: dict[str, float]
    """What the evaluation found."""
    files: dict[str, str]
    """SHA-256 of every file, 64 hexadecimal digits, by its path relative to the version's folder."""


def version_folders(destination: str | Path) -> dict[int, Path]:
    """The complete versions and their folders, in rising order: those with an integer name that hold a model."""
    return {number: folder for number, folder in _numbered(Path(destination)) if (folder / _SAVED_MODEL).is_file()}


def versions(destination: str | Path) -> list[int]:
    """Numbers of the complete versions, rising; none where there is no such folder."""
    return list(version_folders(destination))


def served_version(destination: str | Path) -> int | None:
    """The version TensorFlow Serving serves by default: the highest complete one."""
    return max(versions(destination), default=None)


def read_manifest(destination: str | Path, version: int) -> Manifest | None:
    """The manifest of a version; None where the version is not there or came without one.

    Raises:
      ValueError: `manifest.json` is there and cannot be understood.
    """
    folder = version_folders(destination).get(version)
    if folder is None or not (folder / _MANIFEST).is_file():
        return None
    try:
        return Manifest(**json.loads((folder / _MANIFEST).read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{folder / _MANIFEST} is not a manifest this release can read ({error}); "
            f"restore it, or remove version {version} if it should not be served"
        ) from error


def publish(
    model_dir: str | Path,
    destination: str | Path,
    *,
    model: str,
    champion: int | None,
    pipeline: str,
    run: str,
    metrics: Mapping[str, float],
) -> Manifest:
    """Puts a SavedModel into the pushed directory under the next number, exactly once and whole.

    A server never sees half a model: files are copied beside the versions and the finished folder is renamed
    into place. A push that died is cleaned up by the next one; pushes at the same time take turns.

    Args:
      model_dir: the SavedModel; holds `saved_model.pb`. Read only.
      destination: the folder TensorFlow Serving watches; made if it is not there.
      model: fingerprint of the Model artifact. If a version with this fingerprint is there already, nothing is pushed.
      champion: the version that was being served when the model was judged.
      pipeline: name of the pipeline.
      run: identity of the run.
      metrics: what the evaluation found.

    Returns:
      The manifest of the version that holds the model, new or already there.

    Raises:
      PublishError: there is no model, or the destination cannot be written or is full. Nothing is left behind.
      ValueError: the manifest of a version that is there cannot be understood.
    """
    source, target = Path(model_dir), Path(destination)
    if "://" in str(destination):
        raise PublishError(f"{destination} is not a folder of this machine; mount the storage and give its folder")
    if not (source / _SAVED_MODEL).is_file():
        raise PublishError(f"{source} holds no {_SAVED_MODEL}; give the folder of a SavedModel")
    if pushed := _find(target, model):
        return pushed
    try:
        target.mkdir(parents=True, exist_ok=True)
        with _staging(target) as staging:
            files = _copy(source, staging / "model")
            with _locked(target):
                if pushed := _find(target, model):
                    return pushed
                manifest = Manifest(
                    version=_next_version(target, staging),
                    model=model,
                    champion=champion,
                    pipeline=pipeline,
                    run=run,
                    pushed_at=datetime.now(UTC).isoformat(timespec="seconds"),
                    metrics={name: float(value) for name, value in metrics.items()},
                    files=files,
                )
                text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n"
                _write(staging / "model" / _MANIFEST, text)
                _sync_folders(staging / "model")
                os.rename(staging / "model", target / str(manifest.version))
                _sync(target)
                return manifest
    except PublishError:
        raise
    except OSError as error:
        raise PublishError(_explain(error, source, target)) from error


def push_identity(destination: str | Path, model: str) -> str:
    """Names the push of a model: the same before and after it, another one once the version or the folder is deleted.

    Args:
      destination: the folder TensorFlow Serving watches; made if it is not there.
      model: fingerprint of the Model artifact.
    """
    target = Path(destination)
    target.mkdir(parents=True, exist_ok=True)
    with _locked(target):
        record = target / ".identity"
        if not record.is_file():
            _write(target / ".identity.new", uuid.uuid4().hex)
            os.replace(target / ".identity.new", record)
        pushed = _find(target, model)
        return f"{record.read_text()}/{pushed.version if pushed else _last_version(target) + 1}"


def _numbered(destination: Path) -> list[tuple[int, Path]]:
    if not destination.is_dir():
        return []
    folders = [folder for folder in destination.iterdir() if folder.name.isascii() and folder.name.isdigit()]
    return sorted((int(folder.name), folder) for folder in folders if folder.is_dir())


def _find(destination: Path, model: str) -> Manifest | None:
    """The manifest of the highest version that was pushed from this model."""
    for version in reversed(versions(destination)):
        manifest = read_manifest(destination, version)
        if manifest and manifest.model == model:
            return manifest
    return None


def _next_version(destination: Path, staging: Path) -> int:
    """Takes the next number; it stays taken even if this push dies now. Only under the destination's lock."""
    version = _last_version(destination) + 1
    _write(staging / "last_version", f"{version}\n")
    os.replace(staging / "last_version", destination / ".last_version")
    _sync(destination)
    return version


def _last_version(destination: Path) -> int:
    """The highest number ever given, 0 before the first."""
    record = destination / ".last_version"
    last = int(record.read_text()) if record.is_file() else 0
    return max([last, *(number for number, _ in _numbered(destination))])


@contextmanager
def _locked(destination: Path) -> Iterator[None]:
    with open(destination / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _staging(destination: Path) -> Iterator[Path]:
    """A folder for one push, removed at its end. Its owner holds a lock in it, which dies with the process."""
    with _locked(destination):
        _remove_stale(destination)
        staging = destination / f"{_STAGING}{uuid.uuid4().hex}"
        staging.mkdir()
        try:
            owner = open(staging / "owner", "a")  # noqa: SIM115  (closed below; the lock on it must outlive this block)
            fcntl.flock(owner, fcntl.LOCK_EX)
        except OSError:
            shutil.rmtree(staging)
            raise
    with owner:
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _remove_stale(destination: Path) -> None:
    """Removes what dead pushes left. Only under the destination's lock: a live push has its own by then."""
    for staging in destination.glob(f"{_STAGING}*"):
        try:
            with open(staging / "owner", "a") as owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(staging, ignore_errors=True)
        except (BlockingIOError, FileNotFoundError):
            continue  # its push is alive, or has just removed it


def _copy(source: Path, target: Path) -> dict[str, str]:
    """Copies a folder and forces it to disk; returns each file's SHA-256 by relative path. Links are followed."""
    digests = {}
    for folder, _, names in os.walk(source, followlinks=True):
        relative = Path(folder).relative_to(source)
        (target / relative).mkdir()
        for name in names:
            if (relative / name).as_posix() != _MANIFEST:
                digests[(relative / name).as_posix()] = _copy_file(Path(folder) / name, target / relative / name)
    return dict(sorted(digests.items()))


def _copy_file(source: Path, target: Path) -> str:
    digest = hashlib.sha256()
    with open(source, "rb") as reader, open(target, "xb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as writer:
        writer.write(text)
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


def _explain(error: OSError, source: Path, destination: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        size = sum(file.stat().st_size for file in source.rglob("*") if file.is_file())
        return (
            f"{destination} is full: the model {source} needs {size / 1e6:,.1f} MB; "
            "remove old versions or give another destination. Nothing was pushed"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.filename or destination} is not this user's to read or write; change that, or the destination"
    return f"the model {source} could not be pushed to {destination}: {error.strerror or error}"
