"""One small model and one development server, shared by the tests that need them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import publish
from tests.serving.running import Server, run_python, start
from tests.serving.stores import s3


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel as `saved_model.py` writes it."""
    folder = tmp_path_factory.mktemp("model") / "model"
    process = run_python(str(Path(__file__).parent / "saved_model.py"), str(folder))
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return folder


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a bucket in an S3 store; each test takes a prefix of its own."""
    with s3(tmp_path_factory.mktemp("store")) as uri:
        yield uri


@pytest.fixture(scope="session")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves the model as version 1 and takes requests of up to 200 kB."""
    destination = tmp_path_factory.mktemp("served")
    publish(model, destination, model="first", champion=None, pipeline="p", run="r", metrics={})
    running = start(destination, '{"rest_port": 0, "grpc_port": 0, "max_body_bytes": 200000}')
    yield running
    running.process.kill()
    running.process.communicate()
