"""Packages that wait until they are used, in a process that has imported nothing yet."""

import subprocess
import sys

FILES = """
import sys
from pipeline.deferred import defer_tensorflow
defer_tensorflow()
from tfx.dsl.io import fileio, filesystem_registry
registry = filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY
print([registry.get_filesystem_for_path(path).__name__ for path in ("/some/file", "gs://bucket/file")])
print(fileio.exists("/"), type(sys.modules["tensorflow"]).__name__)
print(registry.get_filesystem_for_path("gs://bucket/file").exists("/"), type(sys.modules["tensorflow"]).__name__)
"""


def test_tfx_opens_local_files_without_tensorflow_and_others_with_it() -> None:
    printed = subprocess.run([sys.executable, "-c", FILES], check=True, capture_output=True, text=True).stdout
    assert printed.splitlines() == [
        "['LocalFilesystem', 'TensorflowFilesystem']",
        "True DeferredPackage",
        "True module",
    ]
