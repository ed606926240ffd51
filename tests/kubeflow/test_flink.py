"""The data steps of the compiled pipeline on Beam's portable runner: job server, worker pool and step are processes.

Beam's own job server in Python speaks the same protocol as the one for Flink and hands work to the same worker pool;
where BEAM_FLINK_JOB_SERVER_CLASSPATH names the latter's class path, the steps run on a Flink as well.
"""

from pathlib import Path

import conformance
import pytest
from compiled import keep_tasks

from pipeline.kubeflow.compile import compile_pipeline
from tests.beam_servers import SERVERS
from transform.config import to_json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

STEPS = ("ImageExampleGen", "StatisticsGen", "SchemaGen", "Transform")
ON_FLINK = ("ImageExampleGen", "Transform")
"""StatisticsGen has no need of Beam for so few images."""


@pytest.mark.parametrize("servers", SERVERS)
def test_data_steps_give_the_same_on_a_portable_runner(servers, store, cluster_config, digits_folder, tmp_path):
    cluster = conformance.Cluster(store, f"s3://pipelines/{servers.__name__}", tmp_path / "pods")
    with servers(tmp_path / "servers") as beam:
        alone = run(cluster, cluster_config(webhook=None), digits_folder, tmp_path / "alone.yaml")
        shared = {"claim": "shared", "path": str(tmp_path / "shared")}
        config = cluster_config(webhook=None, shared_volume=shared, flink=to_json(beam.options()))
        portable = run(cluster, config, digits_folder, tmp_path / "flink.yaml")
        assert beam.workers >= len(ON_FLINK)
    for task in ON_FLINK:
        assert "Job state changed to DONE" in portable.tasks[task].log.read_text()
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
