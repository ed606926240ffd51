"""Libraries imported faster, and without what no run of this project uses."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

UNUSED = {
    "apache_beam": ("apache_beam.io.gcp.bigquery", "google.cloud.dataflow"),
    "keras_tuner": ("sklearn", "IPython"),
}
"""Packages, and what they import if it is there. BigQuery brings all of IPython along."""


class _WithoutUnused(MetaPathFinder):
    """Finds the packages of `UNUSED`, and has each run its own code as if the rest were not installed."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in UNUSED else None
        if spec and spec.loader:
            execute = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                with replaced(**dict.fromkeys(UNUSED[name])):
                    execute(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def leave_out_unused() -> None:
    """Has this process import the packages of `UNUSED` without what they name, which it can import by itself."""
    if not any(isinstance(finder, _WithoutUnused) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WithoutUnused())


@contextmanager
def uncollected() -> Iterator[None]:
    """Imports without the garbage collector, which would look through the libraries' objects again and again.

    They are there to stay: it does not look at them afterwards either.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def replaced(**packages: Any) -> Iterator[None]:
    """Has modules in place of packages until the end of the block, unless they are there; None makes imports fail."""
    mine = {name: module for name, module in packages.items() if name not in sys.modules}
    sys.modules.update(mine)
    try:
        yield
    finally:
        for name in mine:
            del sys.modules[name]
