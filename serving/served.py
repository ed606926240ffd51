"""The versions of a model in memory: which are loaded, replaced when a new one is pushed, and found for a request."""

import logging
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from serving import versions
from serving.destination import PublishError, is_remote, open_destination
from serving.errors import RequestError, ServingError, invalid
from serving.models import LoadedVersion, condense

_log = logging.getLogger("tfx_vision.serving")


@dataclass(frozen=True, kw_only=True)
class VersionStatus:
    """What became of one version: being loaded, served, no longer served, or not loadable."""

    version: int
    state: str
    """TensorFlow Serving's name: LOADING, AVAILABLE or END."""
    error: str = ""


class ServedModel:
    """The model behind one name.

    Serves the highest versions that load, and those that a label stands for. A version is let go only once its
    successor is loaded, and requests that it has begun to answer are answered.

    Args:
      name: the model's name in requests.
      source: the serving destination, or the folder of a SavedModel itself, which is served as version 1.
      count: how many of the highest versions are loaded, ≥ 1.
    """

    def __init__(self, name: str, source: str, count: int = 1):
        self.name = name
        self._source = source
        self._count = count
        self._loaded: dict[int, LoadedVersion] = {}
        self._labels: dict[str, int] = {}
        self._statuses: dict[int, VersionStatus] = {}
        self._changing = threading.Lock()
        self._copies = tempfile.TemporaryDirectory(prefix="tfx-vision-serve-") if is_remote(source) else None

    def refresh(self) -> None:
        """Loads what is to be served and is not, then lets go what is no longer to be served.

        Where no version is left, the last ones stay.

        Raises:
          ServingError: no version is being served and none could be loaded.
        """
        with self._changing:
            complete, labels = self._look()
            wanted: dict[int, LoadedVersion] = {}
            for number in reversed(complete):
                if len(wanted) < self._count or number in labels.values():
                    loaded = self._loaded.get(number) or self._load(number)
                    if loaded:
                        wanted[number] = loaded
                        self._loaded = self._loaded | {number: loaded}
                        self._set(number, "AVAILABLE")
            if not wanted:
                if not self._loaded:
                    reasons = "; ".join(f"version {one.version}: {one.error}" for one in self._statuses.values())
                    raise ServingError(f"No version of the model in {self._source} could be loaded. {reasons}")
                return
            self._labels = {label: number for label, number in labels.items() if number in wanted}
            for number in set(self._loaded) - set(wanted):
                self._set(number, "END")
            self._loaded = wanted

    def watch(self, stop: threading.Event, seconds: float = 1.0) -> None:
        """Refreshes until `stop` is set."""
        while not stop.wait(seconds):
            try:
                self.refresh()
            except (OSError, ServingError) as error:  # the destination may be away for a moment
                _log.debug("the versions in %s could not be looked at: %s", self._source, error)

    def find(self, name: str, version: int | None = None, label: str = "") -> LoadedVersion:
        """The version a request asks for; the highest that is loaded if it names none.

        Raises:
          RequestError: NOT_FOUND, or INVALID_ARGUMENT for a label that stands for nothing.
        """
        if not name:
            raise invalid("ModelSpec has no name specified.")
        loaded = self._loaded
        if label:
            version = self._labels.get(label) if name == self.name else None
            if version is None:
                raise invalid(f"Unrecognized servable version label: {label}")
        found = loaded.get(max(loaded) if version is None else version) if name == self.name and loaded else None
        if found is None:
            request = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise RequestError("NOT_FOUND", f"Servable not found for request: {request}")
        return found

    def statuses(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """What became of one version, or of all, the highest first.

        Raises:
          RequestError: NOT_FOUND.
        """
        known = self._statuses.copy() if name == self.name else {}
        if version is None:
            if not known:
                raise RequestError("NOT_FOUND", f"Could not find any versions of model {name}")
            return [known[number] for number in sorted(known, reverse=True)]
        if version not in known:
            raise RequestError("NOT_FOUND", f"Could not find version {version} of model {name}")
        return [known[version]]

    def close(self) -> None:
        """Removes copies of what an object store holds."""
        if self._copies:
            self._copies.cleanup()

    def _look(self) -> tuple[list[int], dict[str, int]]:
        """The complete versions, rising, and the labels."""
        if self._is_saved_model():
            return [1], {}
        complete = open_destination(self._source).versions()
        return complete, {str(label): number for label, number in versions.labels(self._source).items()}

    def _load(self, number: int) -> LoadedVersion | None:
        """None where it cannot be loaded, now or before: the versions that are served must stay."""
        status = self._statuses.get(number)
        if status and status.error:
            return None
        self._set(number, "LOADING")
        try:
            folder = self._folder(number)
            loaded = LoadedVersion(number, folder)
            loaded.warm_up(folder)
            return loaded
        except PublishError as error:  # the store is away; the next look tries again
            _log.warning("version %d could not be fetched: %s", number, error)
            self._statuses.pop(number)
        except Exception as error:  # whatever TensorFlow raises
            reason = error.message if isinstance(error, RequestError) else str(error)
            self._set(number, "END", condense(reason))
        return None

    def _folder(self, number: int) -> Path:
        if self._is_saved_model():
            return Path(self._source)
        return versions.fetch_version(self._source, number, self._copies.name if self._copies else "")

    def _is_saved_model(self) -> bool:
        return not is_remote(self._source) and (Path(self._source) / "saved_model.pb").is_file()

    def _set(self, number: int, state: str, error: str = "") -> None:
        self._statuses = self._statuses | {number: VersionStatus(version=number, state=state, error=error)}
