"""What is kept beside a version: who pushed it, when, why and how good it is, and why it was withdrawn."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from serving.destination import MANIFEST, WITHDRAWN, Destination

Label = Literal["stable", "canary"]


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
    by: str = ""
    """Who pushed it, such as user@host."""
    why: str = ""
    """Why it was blessed, a sentence."""


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """Why a version is no longer served; `.withdrawn/VERSION.json`."""

    by: str
    """Who withdrew it, such as user@host."""
    at: str
    """ISO 8601, UTC, to the second."""
    why: str
    """A sentence; may be empty."""
    instead: int
    """The version that became stable."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version at a destination."""

    number: int
    """What it is served under."""
    label: Label | None
    """`stable`, `canary` or none."""
    manifest: Manifest | None
    """None where it came without one."""
    withdrawal: Withdrawal | None
    """Set where it was rolled back."""


def read_manifest(where: Destination, destination: str | Path, version: int, folder: str = "") -> Manifest | None:
    """The manifest of a version, None where it came without one.

    Args:
      where: the destination.
      destination: its name in errors.
      version: the number.
      folder: that the version is in, with a slash; empty where it is served.

    Raises:
      ValueError: it cannot be understood.
    """
    content = where.read(f"{folder}{version}/{MANIFEST}")
    if content is None:
        return None
    try:
        return Manifest(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{destination}/{folder}{version}/{MANIFEST} is not a manifest this release can read ({error}); "
            f"restore it, or remove version {version} if it should not be served"
        ) from error


def read_withdrawal(where: Destination, version: int) -> Withdrawal | None:
    """Why a version was withdrawn, None where nothing readable says so."""
    content = where.read(f"{WITHDRAWN}/{version}.json")
    try:
        return Withdrawal(**json.loads(content)) if content else None
    except (ValueError, TypeError):
        return None


def encode(record: Manifest | Withdrawal) -> bytes:
    """A record as the JSON of its file."""
    return (json.dumps(asdict(record), indent=2, ensure_ascii=False) + "\n").encode()
