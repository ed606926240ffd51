"""Serving a pushed directory: by TensorFlow Serving where it is installed, else by the development server."""

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from serving import model_config, versions
from serving.config import ServingConfig
from serving.destination import is_remote
from serving.errors import ServingError

if TYPE_CHECKING:
    import grpc

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_GRPC_THREADS = 8
_SECONDS_TO_FINISH = 5
_SWITCH_SECONDS = 0.0005
"""Python's own 5 ms are longer than a request: a thread that waits for its turn would wait for several others'."""


def serve(destination: str | Path, config: ServingConfig, *, model_name: str) -> None:
    """Answers requests until SIGINT or SIGTERM, then finishes those under way. Prints one line when it is ready.

    Args:
      destination: where models are pushed to, a folder or s3://… or gs://…; or the folder of a SavedModel itself,
        which is served as version 1.
      config: where to listen.
      model_name: the model's name in requests, unless the configuration gives one.

    Raises:
      ServingError: there is no model, it cannot be loaded, or a port is in use; says what to do.
    """
    source, name = Path(destination), config.model_name or model_name
    if is_remote(destination):
        return _run_development_server(str(destination), config, name)
    if not source.is_dir():
        raise ServingError(f"There is no folder {source}; run the pipeline first, or give the folder of a SavedModel")
    if not (source / "saved_model.pb").is_file() and not versions.versions(source):
        raise ServingError(
            f"No model version is in {source}; run the pipeline until it pushes a blessed model, "
            "or give the folder of a SavedModel"
        )
    if binary := shutil.which("tensorflow_model_server"):
        _run_tensorflow_serving(binary, source.absolute(), config, name)
    else:
        _run_development_server(str(source), config, name)


def _run_development_server(source: str, config: ServingConfig, name: str) -> None:
    sys.setswitchinterval(_SWITCH_SECONDS)
    with _listen(config.host, config.rest_port, "REST") as listener:
        grpc_server, grpc_port = _bind_grpc(config)  # both ports first: TensorFlow takes its time to load

        import uvicorn

        with _quiet():
            from serving import rest, rpc
            from serving.backend import Backend
            from serving.batching import Batcher
            from serving.connections import patient
            from serving.metrics import Metrics
            from serving.request_log import RequestLog
            from serving.served import ServedModel

            model = ServedModel(name, source, config.loaded_versions)
            model.refresh()
            batcher = Batcher(config.batching.max_batch_size, config.batching.threads)
            log = RequestLog(config.log_folder or "", config.log_share)
            backend = Backend(model, batcher, Metrics(), log)
        rpc.register(grpc_server, backend)
        web = uvicorn.Server(
            uvicorn.Config(
                rest.create_app(backend, config),
                http=patient(config.client_timeout),
                log_level="warning",
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=_SECONDS_TO_FINISH,
            )
        )
        stop = threading.Event()
        watcher = threading.Thread(target=model.watch, args=[stop], name="versions", daemon=True)
        with _on_signals(lambda: None):  # uvicorn takes them while it runs, and raises them once more at its end
            grpc_server.start()
            watcher.start()
            rest_url = f"http://{_address(config.host, listener.getsockname()[1])}"
            print(
                f"tfx-vision development server (not TensorFlow Serving): model {name} at"
                f" {rest_url}/v1/models/{name}:predict, gRPC at {_address(config.host, grpc_port)},"
                f" a page to try it at {rest_url}/",
                flush=True,
            )
            web.run(sockets=[listener])
            stop.set()
            grpc_server.stop(_SECONDS_TO_FINISH).wait()
            watcher.join(_SECONDS_TO_FINISH)
            log.close()
            model.close()


def _run_tensorflow_serving(binary: str, source: Path, config: ServingConfig, name: str) -> None:
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tfx-vision-serve-")))
        if (source / "saved_model.pb").is_file():  # TensorFlow Serving wants a numbered folder above it
            (scratch / "model").mkdir()
            (scratch / "model" / "1").symlink_to(source, target_is_directory=True)
            source = scratch / "model"
        models = ModelsFile(scratch / "models.config", name, source, config.loaded_versions)
        models.refresh()
        rest_port, grpc_port = _free_ports(config)
        command = [
            binary,
            f"--rest_api_port={rest_port}",
            f"--port={grpc_port}",
            f"--model_config_file={models.path}",
            "--model_config_file_poll_wait_seconds=1",
            "--allow_version_labels_for_unavailable_models=true",
        ]
        process = subprocess.Popen(command, start_new_session=True)
        stopping = threading.Event()

        def stop() -> None:
            stopping.set()
            process.terminate()

        stack.enter_context(_on_signals(stop))
        print(
            f"TensorFlow Serving: model {name} at http://localhost:{rest_port}/v1/models/{name}:predict,"
            f" gRPC at localhost:{grpc_port}, on every interface of this machine",
            flush=True,
        )
        threading.Thread(target=models.watch, args=[stopping], name="models", daemon=True).start()
        status = process.wait()
        failed = status and not stopping.is_set()
        stopping.set()
        if failed:
            raise ServingError(f"TensorFlow Serving ended with exit code {process.returncode}; its log is above")


class ModelsFile:
    """TensorFlow Serving's models.config, which follows the labels at the destination; the server looks at it again.

    TensorFlow Serving takes a label to a version only once that is loaded, so the version that a label leaves stays
    in the file until the label moves again.

    Args:
      path: of the file.
      name: the model's name in requests.
      source: the folder with its versions.
      count: how many of the highest versions are served besides those with a label.
    """

    def __init__(self, path: Path, name: str, source: Path, count: int):
        self.path = path
        self._name, self._source, self._count = name, source, count
        self._labels: dict[str, int] = {}
        self._seen: tuple[list[int], dict[str, int]] | None = None

    def refresh(self) -> None:
        """Writes the file anew if the versions or their labels changed."""
        complete = versions.versions(self._source)
        labels = {str(label): version for label, version in versions.labels(self._source).items()}
        if not complete or (complete, labels) == self._seen:
            return
        before = {version for version in self._labels.values() if version in complete}
        text = model_config.models(
            self._name,
            str(self._source),
            latest=self._count,
            labels=labels,
            beside={*complete[-self._count :], *before},
        )
        new = self.path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        os.replace(new, self.path)
        self._seen, self._labels = (complete, labels), labels

    def watch(self, stop: threading.Event, seconds: float = 1.0) -> None:
        """Refreshes until `stop` is set."""
        while not stop.wait(seconds):
            with contextlib.suppress(OSError):  # the folder may be away for a moment
                self.refresh()


@contextlib.contextmanager
def _listen(host: str, port: int, api: str) -> Iterator[socket.socket]:
    """A listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ServingError(_explain(error, host, port, api)) from error
    with listener:
        yield listener


def _bind_grpc(config: ServingConfig) -> tuple["grpc.Server", int]:
    """A gRPC server that owns its port but does not answer yet, and the port."""
    import grpc

    server = grpc.server(
        ThreadPoolExecutor(_GRPC_THREADS, thread_name_prefix="grpc"),
        options=[
            ("grpc.so_reuseport", 0),  # otherwise a second server takes the same port without an error
            ("grpc.max_receive_message_length", config.max_body_bytes),
            ("grpc.max_send_message_length", -1),
        ],
    )
    with _listen(config.host, config.grpc_port, "gRPC"):
        pass  # gRPC's own error does not say why
    try:
        port = server.add_insecure_port(_address(config.host, config.grpc_port))
    except RuntimeError as error:
        raise ServingError(f"gRPC cannot listen on {_address(config.host, config.grpc_port)}: {error}") from error
    return server, port


def _free_ports(config: ServingConfig) -> tuple[int, int]:
    """The ports for REST and gRPC, for a server that cannot pick one itself: checked, 0 replaced."""
    with _listen("0.0.0.0", config.rest_port, "REST") as rest, _listen("0.0.0.0", config.grpc_port, "gRPC") as rpc:
        return rest.getsockname()[1], rpc.getsockname()[1]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drops what TensorFlow's C++ code writes to stderr while it loads; errors are exceptions all the same."""
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@contextlib.contextmanager
def _on_signals(action: Callable[[], None]) -> Iterator[None]:
    """Does something on SIGINT and SIGTERM instead of ending the process. Only the main thread may."""
    before = {number: signal.signal(number, lambda *_: action()) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _explain(error: OSError, host: str, port: int, api: str) -> str:
    option = f"--{api.lower()}-port"
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} ({api}) is in use; stop what uses it, or choose another with {option} (0 takes a free one)"
    if error.errno == errno.EACCES:
        return f"Port {port} ({api}) needs rights this user does not have; choose one from 1024 with {option}"
    return f"The {api} API cannot listen on {_address(host, port)}: {error.strerror}; choose another --host"
