"""The data steps of the compiled pipeline on Beam's portable runner: job server, worker pool and step are processes.

Beam's own job server in Python speaks the same protocol as the one for Flink and hands work to the same worker pool;
where TFX_VISION_FLINK_JOB_SERVER names the jar of Flink's, the steps run on an embedded Flink as well.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import conformance
import pytest
from compiled import keep_tasks
from store import free_ports

from pipeline.kubeflow.compile import compile_pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

STEPS = ("ImageExampleGen", "StatisticsGen", "SchemaGen", "Transform")
ON_FLINK = {"ImageExampleGen", "StatisticsGen", "Transform"}
PATIENCE_SECONDS = 180


@contextlib.contextmanager
def serving(command: list[str], port: int, folder: Path) -> Iterator[Path]:
    """A server in a folder of its own, as soon as it answers; its log."""
    folder.mkdir()
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("localhost", port), 1):
                break
            time.sleep(0.2)
        else:
            pytest.fail((folder / "log").read_text())
        yield folder / "log"
    finally:
        process.terminate()
        process.wait()


def python_job_server(port: int, folder: Path) -> list[str]:
    module = "apache_beam.runners.portability.local_job_service_main"
    return [sys.executable, "-m", module, f"--port={port}", f"--staging_dir={folder}/staging"]


def flink_job_server(port: int, folder: Path) -> list[str]:
    jar, java = os.environ.get("TFX_VISION_FLINK_JOB_SERVER"), shutil.which("java")
    if not jar or not java:
        pytest.skip("TFX_VISION_FLINK_JOB_SERVER names no jar of beam-runners-flink-*-job-server, or there is no Java")
    ports = [f"--job-port={port}", "--artifact-port=0", "--expansion-port=0"]
    return [java, "-jar", jar, "--flink-master=[local]", *ports, f"--artifacts-dir={folder}/artifacts"]


@pytest.mark.parametrize("job_server", [python_job_server, flink_job_server])
def test_data_steps_give_the_same_on_a_portable_runner(job_server, store, cluster_config, digits_folder, tmp_path):
    cluster = conformance.Cluster(store, f"s3://pipelines/{job_server.__name__}", tmp_path / "pods")
    jobs, pool = free_ports(2)
    address = f"localhost:{jobs}"
    flink = {"job_server": address, "artifact_server": address, "worker_pool": f"localhost:{pool}", "parallelism": 2}
    command = job_server(jobs, tmp_path)
    alone = run(cluster, cluster_config(webhook=None), digits_folder, tmp_path / "alone.yaml")
    pool_command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool}"]
    with (
        serving(pool_command, pool, tmp_path / "pool") as pool_log,
        serving(command, jobs, tmp_path / "jobs"),
    ):
        shared = {"claim": "shared", "path": str(tmp_path / "shared")}
        config = cluster_config(webhook=None, shared_volume=shared, flink=flink)
        portable = run(cluster, config, digits_folder, tmp_path / "flink.yaml")
    assert pool_log.read_text().count("Starting worker") >= len(ON_FLINK)
    for task, output, splits in (
        ("ImageExampleGen", "examples", ("train", "eval", "test")),
        ("Transform", "transformed_examples", ("train", "eval")),
    ):
        for split in splits:
            one, other = (
                records(store, done.tasks[task].outputs[output].uri, split, tmp_path / f"{name} {task} {split}")
                for name, done in (("alone", alone), ("portable", portable))
            )
            assert one and one == other
    assert not any(path.is_file() for path in (tmp_path / "shared").rglob("*"))


def run(cluster, config, images: Path, path: Path) -> conformance.Run:
    """Compiles the pipeline and runs the data steps of the YAML."""
    compile_pipeline(config, path)
    keep_tasks(path, STEPS)
    done = cluster.run(path, data_path=str(images), destination="/nowhere")
    logs = [task.log.read_text()[-4000:] for task in done.tasks.values() if task.state == "FAILED" and task.log]
    assert done.succeeded, "\n".join(logs)
    return done


def records(store, uri: str, split: str, folder: Path) -> set[bytes]:
    import tensorflow as tf

    store.download(uri, folder)
    files = [str(path) for path in (folder / f"Split-{split}").iterdir()]
    found = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return {tf.train.Example.FromString(record).SerializeToString(deterministic=True) for record in found}
