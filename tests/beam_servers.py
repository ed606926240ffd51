"""Beam's job servers and worker pool as processes on this machine, for what runs on Beam's portable runner.

The class path in BEAM_FLINK_JOB_SERVER_CLASSPATH is that of Beam's job server for Flink, which brings Flink itself;
docs/kubeflow.md tells how to get it.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.kubeflow.config import FlinkConfig
from tests.kubeflow.store import free_ports

FLINK_CLASSPATH = "BEAM_FLINK_JOB_SERVER_CLASSPATH"
PATIENCE_SECONDS = 180


@dataclass(frozen=True)
class BeamServers:
    """A job server and a worker pool that answer."""

    jobs: int
    """Port of the job server."""
    artifacts: int
    """Port of the same server for staged files."""
    pool: int
    """Port of the worker pool."""
    log: Path
    """What the job server says."""
    pool_log: Path
    """What the worker pool and its workers say."""

    def options(self, parallelism: int = 2) -> FlinkConfig:
        """The settings with which a step uses them."""
        return FlinkConfig(
            job_server=f"localhost:{self.jobs}",
            artifact_server=f"localhost:{self.artifacts}",
            worker_pool=f"localhost:{self.pool}",
            parallelism=parallelism,
        )

    @property
    def workers(self) -> int:
        """Worker processes that the pool was asked to start."""
        return self.pool_log.read_text().count("Starting worker")


@contextlib.contextmanager
def python_servers(folder: Path) -> Iterator[BeamServers]:
    """Beam's own job server in Python, which runs pipelines itself."""
    jobs, pool = free_ports(2)
    module = "apache_beam.runners.portability.local_job_service_main"
    command = [sys.executable, "-m", module, f"--port={jobs}", f"--staging_dir={folder}/staging"]
    with serving(command, jobs, folder / "jobs") as log, worker_pool(pool, folder / "pool") as pool_log:
        yield BeamServers(jobs, jobs, pool, log, pool_log)


@contextlib.contextmanager
def flink_servers(folder: Path) -> Iterator[BeamServers]:
    """Beam's job server for Flink, with a Flink cluster in its own process; skips the test where it is not at hand."""
    classpath, java = os.environ.get(FLINK_CLASSPATH), shutil.which("java")
    if not classpath:
        pytest.skip(f"{FLINK_CLASSPATH} names no class path of Beam's job server for Flink; see docs/kubeflow.md")
    if not java:
        pytest.skip("there is no Java")
    jobs, artifacts, pool = free_ports(3)
    (folder / "temporary").mkdir(parents=True)
    command = [java, f"-Djava.io.tmpdir={folder}/temporary", "-cp", classpath]
    command += ["org.apache.beam.runners.flink.FlinkJobServerDriver", "--flink-master=[local]"]
    command += ["--job-host=localhost", f"--job-port={jobs}", f"--artifact-port={artifacts}", "--expansion-port=0"]
    command += [f"--artifacts-dir={folder}/artifacts"]
    with serving(command, jobs, folder / "jobs") as log, worker_pool(pool, folder / "pool") as pool_log:
        yield BeamServers(jobs, artifacts, pool, log, pool_log)


SERVERS: tuple[Callable[[Path], AbstractContextManager[BeamServers]], ...] = (python_servers, flink_servers)


def worker_pool(port: int, folder: Path) -> AbstractContextManager[Path]:
    """The processes in which either server has the Python code run."""
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    return serving(command, port, folder)


@contextlib.contextmanager
def serving(command: list[str], port: int, folder: Path) -> Iterator[Path]:
    """A server in a folder of its own, as soon as it answers; it and all that it started end with the context.

    Yields:
      Its log.
    """
    folder.mkdir(parents=True)
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_until_it_answers(process, port, folder / "log")
        yield folder / "log"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_it_answers(process: subprocess.Popen, port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
            return
        time.sleep(0.2)
    pytest.fail(f"no server at port {port}: {log.read_text()[-4000:]}")
