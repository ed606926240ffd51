"""Packages that are imported when something in them is used, for the start-up time of a step and of the compiler."""

import importlib
import os
import re
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, NoReturn

from pipeline.imports import replaced

TOLERATED = (
    "tfx.utils.doc_controls",
    "tfx.dsl.io.plugins.tensorflow_gfile",
    "tfx.dsl.components.base.base_beam_executor",
    "tfx.dsl.component.experimental.decorators",
)
"""Modules of TFX that every component imports, and that TensorFlow or Beam may be missing for."""
NAMED = re.compile(
    r"tfx\.components\.[a-z_.]*executor|components\.\w+\.(?!(component|config|storage)$)\w+"
    r"|tensorflow_data_validation\.(statistics\.generators\.stats_generator|utils\.io_util)"
    r"|keras_tuner\.engine(\.base_tuner)?"
)
"""Modules of which a graph keeps nothing but names: an executor's class is a string in it."""
EXECUTORS = re.compile(
    r"tfx\.components\.[a-z_.]*executor|components\.(?!image_example_gen)\w+\.executor|keras_tuner\.engine(\.base_tuner)?"
)
"""Those of them that are used by nothing but the component when it runs."""
VALIDATION = {"StatsOptions": "statistics.stats_options", "DatasetListView": "utils.stats_util"}
"""Where TensorFlow Data Validation has what is used of it without its own code."""


class DeferredPackage(types.ModuleType):
    """A package whose own code waits until an attribute of it is wanted; its modules can be imported without it."""

    def __init__(self, name: str, places: dict[str, str] | None = None):
        """With `places`, its modules and, from those that `places` names, more of it are had without its own code."""
        super().__init__(name)
        self.__spec__ = find_spec(name)
        assert self.__spec__ is not None
        self.__path__ = self.__spec__.submodule_search_locations or []
        self.__file__ = self.__spec__.origin
        self._places, self._lock, self._loading = places, threading.RLock(), False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__all__":  # which `from … import *` asks for
            raise AttributeError(f"{self.__name__} has no {name}")
        places = self.__dict__["_places"]
        if places and name in places:
            return getattr(importlib.import_module(f"{self.__name__}.{places[name]}"), name)
        if places is not None and find_spec(f"{self.__name__}.{name}"):
            return importlib.import_module(f"{self.__name__}.{name}")
        with self._lock:  # Beam's threads may want it at the same time
            if self._loading:
                raise AttributeError(f"{self.__name__} is being loaded and has no {name} yet")
            if isinstance(self, DeferredPackage):
                self._loading = True
                self.__spec__.loader.exec_module(self)  # type: ignore[union-attr]
                self.__class__, self._loading = types.ModuleType, False  # type: ignore[assignment]
        return getattr(self, name)


def defer(name: str, places: dict[str, str] | None = None) -> None:
    """Defers a package that nothing has imported yet."""
    if name not in sys.modules:
        sys.modules[name] = DeferredPackage(name, places)


def defer_heavy_packages() -> None:
    """Defers what TFX imports on behalf of every component and few of them use.

    `tfx.components` imports all components, with TensorFlow Model Analysis and KerasTuner. `tfx.types` names some
    protocol buffers of TensorFlow Model Analysis and imports all of it for that, with Beam and TensorFlow.
    """
    components = (
        "StatisticsGen SchemaGen ExampleValidator Transform Tuner Trainer Evaluator InfraValidator Pusher".split()
    )
    places = {name: f"{snake_case(name)}.component" for name in components}
    defer("tfx.components", places | {"FileBasedExampleGen": "example_gen.component"})
    defer("tensorflow_data_validation", VALIDATION)
    defer("tensorflow_model_analysis")
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


def defer_tensorflow() -> None:
    """Defers TensorFlow, for executors that may not need it: TFX opens local files without it, and gs:// with it.

    TensorFlow Data Validation names it in annotations of what finds skew between examples, which is only named here.
    """
    with replaced(tensorflow=None):
        importlib.import_module("tfx.utils.doc_controls")
    defer("tensorflow")
    importlib.import_module("tfx.dsl.io.plugins.tensorflow_gfile")
    local = importlib.import_module("tfx.dsl.io.plugins.local").LocalFilesystem
    registry = importlib.import_module("tfx.dsl.io.filesystem_registry").DEFAULT_FILESYSTEM_REGISTRY
    registry.register(local, priority=0)
    skew = "tensorflow_data_validation.skew.feature_skew_detector"
    sys.modules.setdefault(skew, NamesOnly(skew))


def defer_everything() -> None:
    """Lets a process build a graph without the libraries that only its execution uses.

    For a process that compiles and ends: what runs in it afterwards would not find Beam's executors.
    """
    os.environ["_KFP_RUNTIME"] = "true"  # kfp without its Kubernetes client
    with replaced(tensorflow=None, apache_beam=None):
        for name in TOLERATED:
            importlib.import_module(name)
    heavy = "tensorflow tf_keras tensorflow_transform apache_beam keras keras_tuner tfx_bsl pandas"
    defer("tensorflow_data_validation", VALIDATION)
    with replaced(apache_beam=beam_of_coders()):
        importlib.import_module("tensorflow_data_validation.types")
    for name in heavy.split():
        defer(name)
    defer("kfp.kubernetes", {})
    defer_heavy_packages()
    sys.meta_path.insert(0, StandIns(NAMED))


@contextmanager
def executors_unread() -> Iterator[None]:
    """Has a graph built from the names of executors that take long to import; afterwards they are imported when run."""
    stand_ins = StandIns(EXECUTORS)
    defer("keras_tuner")
    sys.meta_path.insert(0, stand_ins)
    try:
        yield
    finally:
        sys.meta_path.remove(stand_ins)
        for name, module in list(sys.modules.items()):
            if isinstance(module, NamesOnly) and stand_ins.names.fullmatch(name):
                package, _, last = name.rpartition(".")
                vars(sys.modules.get(package, module)).pop(last, None)
                del sys.modules[name]
        if isinstance(sys.modules["keras_tuner"], DeferredPackage):
            del sys.modules["keras_tuner"]


def beam_of_coders() -> Any:
    """What TensorFlow Data Validation's types want of Beam: to register how record batches are encoded."""
    registry = SimpleNamespace(register_coder=lambda *_: None)
    return SimpleNamespace(coders=SimpleNamespace(Coder=object, typecoders=SimpleNamespace(registry=registry)))


class StandIns(MetaPathFinder, Loader):
    """Finds modules of which only the names of classes are wanted."""

    def __init__(self, names: re.Pattern[str]):
        """With the names of these modules."""
        self.names = names

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if self.names.fullmatch(name) else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        module = NamesOnly(spec.name)
        module.__path__ = []  # so that modules in it are looked for, here
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        pass


class NamesOnly(types.ModuleType):
    """A module whose classes have a name and nothing else, and whose functions cannot be called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or NAMED.fullmatch(f"{self.__name__}.{name}"):  # a module in it
            raise AttributeError(f"{self.__name__} has no {name}")
        base = importlib.import_module("tfx.dsl.components.base.base_executor").BaseExecutor
        stand_in = (
            type(name, (base,), {"__module__": self.__name__}) if name[0].isupper() else partial(refuse, self, name)
        )
        setattr(self, name, stand_in)
        return stand_in


def refuse(module: types.ModuleType, name: str, *arguments: Any, **named: Any) -> NoReturn:
    """Stands in for a function.

    Raises:
      RuntimeError: the graph needs it after all; then its module must not be one of `NAMED`.
    """
    raise RuntimeError(f"{module.__name__} is only named in this process, so its {name} cannot be called")


def snake_case(name: str) -> str:
    """ImageExampleGen → image_example_gen."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
