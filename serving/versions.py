"""The versions of a model at its serving destination: published exactly once and whole, judged, taken back.

Stable is the highest complete version that is not on trial: what users are meant to get, and the champion that the
next model is judged against. A canary is a higher version on trial. A rollback withdraws the versions above the one it
goes back to: servers no longer see them, and they stay withdrawn until somebody brings them back.
"""

import errno
import getpass
import logging
import socket
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from serving import records
from serving.destination import (
    CANARIES,
    SAVED_MODEL,
    WITHDRAWN,
    Destination,
    PublishError,
    is_remote,
    open_destination,
)
from serving.records import Label, Manifest, Version, Withdrawal

_log = logging.getLogger("tfx_vision.serving")


class WithdrawnError(PublishError):
    """A model that was pushed before and withdrawn since. The message says by whom, when and how to bring it back."""


def versions(destination: str | Path) -> list[int]:
    """Numbers of the complete versions, rising; none where there is no such folder."""
    return open_destination(destination).versions()


def labels(destination: str | Path) -> dict[Label, int]:
    """The versions TensorFlow Serving's labels `stable` and `canary` stand for; without a version none."""
    return _labels(open_destination(destination))


def served_version(destination: str | Path) -> int | None:
    """The stable version."""
    return labels(destination).get("stable")


def champion(destination: str | Path, model: str) -> int | None:
    """The version that a model is to be judged against.

    Args:
      destination: the serving destination.
      model: fingerprint of the candidate.

    Returns:
      The stable version, which a rollback changes and a canary does not; when that is the candidate itself, the
      version it was judged against when it was pushed. None when there is no such version.
    """
    where = open_destination(destination)
    stable = _labels(where).get("stable")
    manifest = None if stable is None else records.read_manifest(where, destination, stable)
    if manifest is None or manifest.model != model:
        return stable
    return manifest.champion if manifest.champion in where.versions() else None


def read_manifest(destination: str | Path, version: int) -> Manifest | None:
    """The manifest of a version; None where the version is not there or came without one.

    Raises:
      ValueError: `manifest.json` is there and cannot be understood.
    """
    where = open_destination(destination)
    return records.read_manifest(where, destination, version) if version in where.versions() else None


def history(destination: str | Path) -> list[Version]:
    """Every version that is still there, served, kept or withdrawn, the newest first.

    Raises:
      ValueError: a manifest cannot be understood.
    """
    where = open_destination(destination)
    named = {number: label for label, number in _labels(where).items()}
    withdrawn = where.withdrawn()
    return [
        Version(
            number=number,
            label=named.get(number),
            manifest=records.read_manifest(where, destination, number, f"{WITHDRAWN}/" if number in withdrawn else ""),
            withdrawal=records.read_withdrawal(where, number) if number in withdrawn else None,
        )
        for number in sorted({*where.versions(), *withdrawn}, reverse=True)
    ]


def fetch_version(destination: str | Path, version: int, into: str | Path) -> Path:
    """The folder of a complete version's saved model on this machine: its own, or a copy below `into`."""
    return open_destination(destination).fetch(version, Path(into))


def publish(
    model_dir: str | Path,
    destination: str | Path,
    *,
    model: str,
    champion: int | None,
    pipeline: str,
    run: str,
    metrics: Mapping[str, float],
    by: str = "",
    why: str = "",
    label: Label = "stable",
    keep: int | None = None,
    extra: str | Path | None = None,
) -> Manifest:
    """Puts a SavedModel at the serving destination under the next number, exactly once and whole.

    A server never sees half a model. A push that died is cleaned up or finished by the next one; pushes at the
    same time cannot take one number twice, nor push one model twice.

    Args:
      model_dir: the SavedModel; holds `saved_model.pb`. Read only.
      destination: the folder TensorFlow Serving watches, made if it is not there; or s3://… or gs://….
      model: fingerprint of the Model artifact. If a version with this fingerprint is there already, nothing is pushed.
      champion: the version that was being served when the model was judged.
      pipeline: name of the pipeline.
      run: identity of the run.
      metrics: what the evaluation found.
      by: who pushes; by default this user on this machine.
      why: why the model was blessed, a sentence.
      label: `canary` puts it on trial; without a stable version it becomes stable all the same.
      keep: how many versions, and how many withdrawn ones, to leave; None leaves all. What is served, the version
        before it, and canaries are never removed.
      extra: a folder whose files are added to the version's `assets.extra`, such as warm-up requests.

    Returns:
      The manifest of the version that holds the model, new or already there.

    Raises:
      WithdrawnError: the model was pushed before and withdrawn since.
      PublishError: there is no model, or the destination cannot be written or is full. Nothing is left behind.
      ValueError: the manifest of a version that is there cannot be understood.
    """
    source, where = Path(model_dir), open_destination(destination)
    if not (source / SAVED_MODEL).is_file():
        raise PublishError(f"{source} holds no {SAVED_MODEL}; give the folder of a SavedModel")

    def pushed() -> int | None:
        found = _find(where, destination, model)
        return found.version if found else None

    def prepare(number: int) -> bytes:
        if label == "canary" and _labels(where):
            where.write(f"{CANARIES}/{number}", b"")
        manifest = Manifest(
            version=number,
            model=model,
            champion=champion,
            pipeline=pipeline,
            run=run,
            pushed_at=_now(),
            metrics={name: float(value) for name, value in metrics.items()},
            files=staged.files,
            by=by or _user(),
            why=why,
        )
        return records.encode(manifest)

    try:
        if found := _find(where, destination, model):
            return found
        with where.stage(source, Path(extra) if extra else None) as staged:
            version = where.place(staged, model, pushed, prepare)
        manifest = records.read_manifest(where, destination, version)
    except PublishError:
        raise
    except OSError as error:
        raise PublishError(_explain(error, source, destination)) from error
    if manifest is None:
        raise PublishError(f"Version {version} was removed from {destination} just after it was pushed; push again")
    if keep is not None:
        _retain(where, keep, version)
    return manifest


def rollback(destination: str | Path, version: int | None = None, *, by: str = "", why: str = "") -> int:
    """Makes an older version, or one that was withdrawn, the stable one; withdraws those above it.

    Args:
      destination: a folder, or s3://… or gs://….
      version: where to go; by default the newest push is taken back: a canary, else the stable version.
      by: who does it; by default this user on this machine.
      why: a sentence.

    Returns:
      The stable version.

    Raises:
      PublishError: there is no such version, or none before the stable one; says which there are.
    """
    where = open_destination(destination)
    if not where.versions() and not where.withdrawn():
        raise PublishError(f"No version is at {destination}")
    with where.exclusively():
        complete, withdrawn = where.versions(), where.withdrawn()
        target = _before(where, destination) if version is None else version
        if target not in complete and target not in withdrawn:
            known = ", ".join(map(str, sorted({*complete, *withdrawn})))
            raise PublishError(f"Version {target} is not at {destination}; there are {known}")
        where.delete(f"{CANARIES}/{target}")
        if target not in complete:
            where.restore(target)
            where.delete(f"{WITHDRAWN}/{target}.json")
        record = records.encode(Withdrawal(by=by or _user(), at=_now(), why=why, instead=target))
        for number in complete:  # rising: what is served changes once, with the last one
            if number > target:
                where.write(f"{WITHDRAWN}/{number}.json", record)
                where.withdraw(number)
                where.delete(f"{CANARIES}/{number}")
        return target


def promote(destination: str | Path) -> int:
    """Makes the canary stable.

    Returns:
      Its version.

    Raises:
      PublishError: there is no canary.
    """
    where = open_destination(destination)
    canary = _labels(where).get("canary")
    if canary is None:
        raise PublishError(f"No canary is at {destination}; a push with `pusher.label: canary` makes one")
    where.delete(f"{CANARIES}/{canary}")
    return canary


def push_identity(destination: str | Path, model: str) -> str:
    """Names the push of a model: the same before and after it, another one once the version or the folder is deleted.

    Args:
      destination: the serving destination; made if it is not there.
      model: fingerprint of the Model artifact.
    """
    where = open_destination(destination)
    if not is_remote(destination):
        Path(destination).mkdir(parents=True, exist_ok=True)
    with where.exclusively():
        if where.read(".identity") is None:
            where.write(".identity", uuid.uuid4().hex.encode())
        identity = (where.read(".identity") or b"").decode()
        try:
            pushed = _find(where, destination, model)
        except WithdrawnError:
            return f"{identity}/withdrawn"
        return f"{identity}/{pushed.version if pushed else where.last_number() + 1}"


def _labels(where: Destination) -> dict[Label, int]:
    complete = where.versions()
    canaries = {int(name) for name in where.names(CANARIES) if name.isdigit()}
    settled = [number for number in complete if number not in canaries] or complete
    if not settled:
        return {}
    stable = settled[-1]
    return {"stable": stable} if complete[-1] == stable else {"stable": stable, "canary": complete[-1]}


def _before(where: Destination, destination: str | Path) -> int:
    """Where a rollback goes that names no version."""
    named, complete = _labels(where), where.versions()
    if "canary" in named:
        return named["stable"]
    older = [number for number in complete[:-1] if f"{number}" not in where.names(CANARIES)]
    if not older:
        raise PublishError(
            f"No version is before {complete[-1] if complete else 'the withdrawn ones'} at {destination}; "
            "`tfx-vision versions` shows which there are"
        )
    return older[-1]


def _find(where: Destination, destination: str | Path, model: str) -> Manifest | None:
    """The manifest of the highest version that was pushed from this model.

    Raises:
      WithdrawnError: that version was withdrawn.
    """
    for version in reversed(where.versions()):
        manifest = records.read_manifest(where, destination, version)
        if manifest and manifest.model == model:
            return manifest
    for version in reversed(where.withdrawn()):
        manifest = records.read_manifest(where, destination, version, f"{WITHDRAWN}/")
        if manifest and manifest.model == model:
            record = records.read_withdrawal(where, version)
            who = f" by {record.by} at {record.at}{f' ({record.why})' if record.why else ''}" if record else ""
            raise WithdrawnError(
                f"This model was pushed before as version {version} and withdrawn{who}; it is not pushed again. "
                f"`tfx-vision rollback … {version}` brings it back"
            )
    return None


def _retain(where: Destination, keep: int, pushed: int) -> None:
    """Removes all but the newest versions; a failure leaves them to the next push."""
    try:
        with where.exclusively():
            complete, named = where.versions(), _labels(where)
            before = [number for number in complete if number < named.get("stable", 0)][-1:]
            kept = {*complete[-keep:], *where.withdrawn()[-keep:], *named.values(), *before, pushed}
            for number in {*complete, *where.withdrawn()} - kept:
                where.remove(number)
                where.delete(f"{WITHDRAWN}/{number}.json")
                where.delete(f"{CANARIES}/{number}")
    except OSError as error:
        _log.warning("Old versions could not be removed: %s", error)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _user() -> str:
    """Such as user@host; a container's user need not have a name."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (KeyError, OSError):
        return socket.gethostname()


def _explain(error: OSError, source: Path, destination: str | Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        size = sum(file.stat().st_size for file in source.rglob("*") if file.is_file())
        return (
            f"{destination} is full: the model {source} needs {size / 1e6:,.1f} MB; "
            "remove old versions or give another destination. Nothing was pushed"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.filename or destination} is not this user's to read or write; change that, or the destination"
    return f"the model {source} could not be pushed to {destination}: {error.strerror or error}"
