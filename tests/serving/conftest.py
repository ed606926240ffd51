"""One small model and one development server, shared by the tests that need them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import publish
from tests.serving.running import Server, run_python, start


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel as `saved_model.py` writes it."""
    folder = tmp_path_factory.mktemp("model") / "model"
    process = run_python(str(Path(__file__).parent / "saved_model.py"), str(folder))
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return folder


@pytest.fixture(scope="session")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves the model as version 1 and takes requests of up to 200 kB."""
    destination = tmp_path_factory.mktemp("served")
    publish(model, destination, model="first", champion=None, pipeline="p", run="r", metrics={})
    running = start(destination, '{"rest_port": 0, "grpc_port": 0, "max_body_bytes": 200000}')
    yield running
    running.process.kill()
    running.process.communicate()
