"""Packages that are imported when something in them is used, for the start-up time of a step."""

import importlib
import sys
import types
from importlib.util import find_spec
from typing import Any


class DeferredPackage(types.ModuleType):
    """A package whose own code waits until an attribute of it is wanted; its modules can be imported without it."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__spec__ = find_spec(name)
        assert self.__spec__ is not None
        self.__path__ = self.__spec__.submodule_search_locations or []
        self.__file__ = self.__spec__.origin

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # which `from … import *` asks for
            raise AttributeError(f"{self.__name__} has no {name}")
        self.__class__ = types.ModuleType  # type: ignore[assignment]
        self.__spec__.loader.exec_module(self)  # type: ignore[union-attr]
        return getattr(self, name)


def defer_heavy_packages() -> None:
    """Defers what TFX imports on behalf of every component and few of them use.

    `tfx.components` imports all components, with TensorFlow Model Analysis and KerasTuner. `tfx.types` names some
    protocol buffers of TensorFlow Model Analysis and imports all of it for that, with Beam and TensorFlow.
    """
    for name in ("tfx.components", "tensorflow_model_analysis"):
        if name not in sys.modules:
            sys.modules[name] = DeferredPackage(name)
    analysis = sys.modules["tensorflow_model_analysis"]
    if isinstance(analysis, DeferredPackage):
        importlib.import_module("google.protobuf.wrappers_pb2")  # which the next one needs and does not import
        protos = importlib.import_module("tensorflow_model_analysis.proto.config_pb2")
        interface = DeferredPackage("tensorflow_model_analysis.sdk")
        sys.modules[interface.__name__] = analysis.sdk = interface  # type: ignore[attr-defined]
        # On the package too: it lacks them, and TFX adds them in the package that is deferred here.
        for module in (interface, analysis):
            for name, proto in vars(protos).items():
                if not name.startswith("_"):
                    setattr(module, name, proto)
