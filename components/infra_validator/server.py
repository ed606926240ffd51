"""A server with one model, in a process of its own, watched while it is asked."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

START = """import sys
from serving import ServingConfig, serve
serve(sys.argv[1], ServingConfig(rest_port=0, grpc_port=0), model_name=sys.argv[2])"""
ADDRESS = re.compile(r"http://\S+/v1/models/[^\s:]+")
"""What the server says it listens on."""
PAUSE = 0.05
"""Seconds between looks at the process."""
MIB = 2**20


class TrialError(Exception):
    """The server did not do what it should; the message is a sentence."""


class Server:
    """A server under trial.

    Attributes:
      kind: "TensorFlow Serving" or "development server".
      start_seconds: from its start to the moment when it said that the model is available.
      peak_mib: the most memory its processes had, in MiB.
    """

    def __init__(self, process: subprocess.Popen, log: Path, max_memory_mib: int):
        self.kind, self.start_seconds, self.peak_mib = "", 0.0, 0.0
        self._process, self._log, self._limit, self._url = process, log, max_memory_mib, ""
        self._over, self._done = threading.Event(), threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="memory", daemon=True)
        self._watcher.start()

    def wait_until_ready(self, seconds: float) -> None:
        """Waits for the model to be available.

        Raises:
          TrialError: it took too long, too much memory, or ended.
        """
        started = time.monotonic()
        while not self._available():
            self._check(ended="ended while it loaded the model")
            if time.monotonic() - started > seconds:
                raise TrialError(f"the model was not ready after {seconds:g} s")
            time.sleep(PAUSE)
        self.start_seconds = time.monotonic() - started

    def predict(self, signature: str, instances: list[str]) -> tuple[list[dict[str, Any]], float]:
        """Asks for predictions of base64 strings; returns them and the seconds it took.

        Raises:
          TrialError: the server refused, died or took too much memory.
        """
        document = {"signature_name": signature, "instances": [{"b64": instance} for instance in instances]}
        started = time.perf_counter()
        try:
            answer = self._get(":predict", json.dumps(document).encode())
        except urllib.error.HTTPError as error:
            reason = error.read().decode(errors="replace")[:500]
            raise TrialError(f"signature {signature} answered {error.code}: {reason}") from error
        except (OSError, ValueError) as error:
            self._check(ended=f"died of a request to signature {signature}")
            raise TrialError(f"signature {signature} did not answer: {error}") from error
        self._check(ended=f"died of a request to signature {signature}")
        return answer["predictions"], time.perf_counter() - started

    def close(self) -> None:
        """Ends the processes."""
        self._done.set()
        self._watcher.join()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _available(self) -> bool:
        if not self._url:
            if not (found := ADDRESS.search(self._log.read_text(errors="replace"))):
                return False
            self._url = found[0]
            self.kind = "development server" if "development" in self._log.read_text() else "TensorFlow Serving"
        try:
            statuses = self._get("")["model_version_status"]
        except (OSError, ValueError, KeyError):
            return False
        return any(status["state"] == "AVAILABLE" for status in statuses)

    def _get(self, path: str, body: bytes | None = None) -> Any:
        request = urllib.request.Request(self._url + path, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)

    def _check(self, ended: str) -> None:
        if self._over.is_set():
            raise TrialError(f"the server needs more than {self._limit:,} MiB of memory")
        if self._process.poll() is not None:
            lines = self._log.read_text(errors="replace").strip().splitlines()
            raise TrialError(f"the server {ended}: {lines[-1] if lines else f'exit status {self._process.returncode}'}")

    def _watch(self) -> None:
        """Ends the server as the kernel would in a container: when its memory passes the limit."""
        process = psutil.Process(self._process.pid)
        while not self._done.wait(PAUSE):
            try:
                used = sum(one.memory_info().rss for one in [process, *process.children(recursive=True)]) / MIB
            except psutil.Error:
                return
            self.peak_mib = max(self.peak_mib, used)
            if used > self._limit:
                self._over.set()
                self._process.kill()
                return


@contextlib.contextmanager
def serving(model_folder: str, extra: str, model_name: str, max_memory_mib: int) -> Iterator[Server]:
    """Starts a server with a model as it will be pushed, as version 1; ends it afterwards.

    Args:
      model_folder: the saved model.
      extra: folder of what is added to its `assets.extra`.
      model_name: the name it is served under.
      max_memory_mib: memory that the server may take.
    """
    with tempfile.TemporaryDirectory(prefix="tfx-vision-trial-") as scratch:
        version = Path(scratch, "model", "1")
        version.mkdir(parents=True)
        for entry in Path(model_folder).absolute().iterdir():
            if entry.name != "assets.extra":
                (version / entry.name).symlink_to(entry)
        for assets in (Path(model_folder, "assets.extra"), Path(extra)):
            if assets.is_dir():
                shutil.copytree(assets, version / "assets.extra", dirs_exist_ok=True)
        log = Path(scratch, "log")
        with log.open("w") as writer:
            process = subprocess.Popen(
                [sys.executable, "-c", START, str(version.parent), model_name],
                stdout=writer,
                stderr=subprocess.STDOUT,
                # Of this process' environment too: the server must find the same packages.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        server = Server(process, log, max_memory_mib)
        try:
            yield server
        finally:
            server.close()
