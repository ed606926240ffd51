"""The compiled pipeline run as Kubeflow does it, from the YAML and an S3 store alone.

The images and the pushed models are on volumes, which a process cannot have mounted: run parameters name folders that
stand in for them. The runs build on one another, as in a cluster.
"""

import http.server
import json
import signal
import threading
import time
from pathlib import Path

import conformance
import pytest
from compiled import RefusedError

from pipeline.kubeflow.compile import compile_pipeline
from serving import versions


@pytest.fixture(scope="module")
def cluster(store, tmp_path_factory):
    return conformance.Cluster(store, "s3://pipelines/v2/artifacts", tmp_path_factory.mktemp("pods"))


@pytest.fixture(scope="module")
def folders(digits_folder, tmp_path_factory):
    """The volumes."""
    return {"data_path": str(digits_folder), "destination": str(tmp_path_factory.mktemp("models"))}


@pytest.fixture(scope="module")
def told():
    """A webhook, and the messages it got."""
    messages = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook", messages
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def first(cluster, compiled_file, folders, told):
    run = cluster.run(compiled_file, {"WEBHOOK": told[0]}, **folders)
    assert run.succeeded, "\n".join(
        f"{task.name} {task.state}\n{task.log.read_text()[-3000:]}"
        for task in run.tasks.values()
        if task.state == "FAILED" and task.log
    )
    return run


def fetch(store, run, task: str, output: str, folder: Path) -> Path:
    store.download(run.tasks[task].outputs[output].uri, folder)
    return folder


def read_examples(folder: Path) -> set[bytes]:
    import tensorflow as tf

    files = [str(path) for path in folder.iterdir()]
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    return {tf.train.Example.FromString(record).SerializeToString(deterministic=True) for record in records}


def test_it_ends_with_a_pushed_model_that_answers(first, folders, digits_folder):
    import tensorflow as tf

    assert set(first.states().values()) == {"SUCCEEDED"}
    manifest = versions.read_manifest(folders["destination"], 1)
    assert (manifest.pipeline, manifest.run) == ("digits", first.id)
    model = tf.saved_model.load(str(Path(folders["destination"], "1")))
    files = sorted(digits_folder.glob("*/*.png"))
    answers = model.signatures["serving_default"](image=tf.constant([file.read_bytes() for file in files]))
    right = sum(label.decode() == file.parent.name for label, file in zip(answers["label"].numpy(), files, strict=True))
    assert right / len(files) >= 0.9


def test_data_is_the_local_run_s(first, store, digits_run, tmp_path):
    """The same examples in the same splits, the same pixels and the same schema; Beam writes them in any order."""
    for task, output, splits in (
        ("ImageExampleGen", "examples", ("train", "eval", "test")),
        ("Transform", "transformed_examples", ("train", "eval")),
    ):
        cluster = fetch(store, first, task, output, tmp_path / task)
        local = digits_run.folder(task, output)
        for split in splits:
            assert read_examples(cluster / f"Split-{split}") == read_examples(local / f"Split-{split}")
    schema = fetch(store, first, "SchemaGen", "schema", tmp_path / "schema") / "schema.pbtxt"
    assert schema.read_text() == (digits_run.folder("SchemaGen", "schema") / "schema.pbtxt").read_text()


def test_accuracy_is_the_local_run_s(first, folders, digits_run):
    """Up to the order of the training data, which Beam draws anew in every run, local ones too: 375 test images."""
    local = versions.read_manifest(digits_run.config.destination, 1).metrics["accuracy"]
    assert versions.read_manifest(folders["destination"], 1).metrics["accuracy"] == pytest.approx(local, abs=0.04)


def test_every_artifact_is_in_the_bucket_under_kubeflow_s_layout(first, store):
    for task in first.tasks.values():
        for key, artifact in task.outputs.items():
            assert artifact.uri.startswith(f"s3://pipelines/v2/artifacts/digits/{first.id}/{task.name}/")
            assert artifact.uri.endswith(f"/{key}")
            # Nothing is being served yet, what is pushed is at the destination, and digits are scaled without analysis.
            if key not in ("champion", "pushed_model", "updated_analyzer_cache"):
                assert store.list(artifact.uri), f"{artifact.uri} is empty"


def test_artifacts_keep_their_properties_between_steps(first):
    examples = first.tasks["StatisticsGen"].outputs["statistics"]
    assert json.loads(examples.metadata["split_names"]) == ["train", "eval", "test"]
    blessing = first.tasks["Evaluator"].outputs["blessing"]
    assert blessing.metadata["blessed"] == 1
    assert blessing.metadata["current_model"] == first.tasks["Trainer"].outputs["model"].uri


def test_no_local_path_is_recorded(first, cluster):
    for task in first.tasks.values():
        for artifact in task.outputs.values():
            assert str(cluster.folder) not in str(artifact)


@pytest.fixture(scope="module")
def second(first, cluster, compiled_file, folders, told):
    return cluster.run(
        compiled_file, {"WEBHOOK": told[0]}, **folders, epochs=3, min_accuracy=0.0, max_accuracy_drop=1.0
    )


def test_changed_run_parameter_runs_what_it_concerns_and_the_rest_is_cached(second):
    cached = {name for name, state in second.states().items() if state == "CACHED"}
    assert cached == {
        "ImageExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "DataGate", "Transform", "Tuner",
    }  # fmt: skip
    assert second.succeeded


def test_run_parameters_are_what_the_steps_used(second, store, tmp_path):
    run = fetch(store, second, "Trainer", "model_run", tmp_path)
    assert json.loads((run / "training.json").read_text())["trainer"]["epochs"] == 3
    assert len(json.loads((run / "history.json").read_text())["loss"]) == 3


def test_challenger_was_judged_against_the_champion_and_pushed(second, folders):
    assert versions.versions(folders["destination"]) == [1, 2]
    assert versions.read_manifest(folders["destination"], 2).champion == 1


def test_terminated_training_is_retried_and_continues_from_its_checkpoint(
    first, cluster, cluster_config, folders, store, told, tmp_path
):
    checkpoints, epochs = tmp_path / "checkpoints", 30
    config = cluster_config(
        trainer={"epochs": epochs, "patience": 0, "checkpoints": {"directory": str(checkpoints)}},
        # The others as before: the steps up to the Tuner are taken from the cache.
        volumes=[
            {"claim": "images", "path": "/mnt/images", "steps": ["image_example_gen"]},
            {"claim": "models", "path": "/mnt/models", "steps": ["champion", "pusher"]},
            {"claim": "checkpoints", "path": str(checkpoints), "steps": ["trainer"]},
        ],
    )
    compile_pipeline(config, tmp_path / "pipeline.yaml")

    def terminate(task, attempt, process, pod):
        """After the third epoch, as when the node is drained."""
        while task == "Trainer" and attempt == 1 and process.poll() is None:
            if list(checkpoints.glob("*/state/*-3.index")):
                process.send_signal(signal.SIGTERM)
                return
            time.sleep(0.02)

    cluster.watch = terminate
    try:
        run = cluster.run(tmp_path / "pipeline.yaml", {"WEBHOOK": told[0]}, **folders, max_accuracy_drop=1.0)
    finally:
        cluster.watch = None
    assert run.succeeded and run.tasks["Trainer"].attempts == 2
    log = run.tasks["Trainer"].log.read_text()
    assert "continuing" in log and "epoch 1 of" not in log
    history = json.loads((fetch(store, run, "Trainer", "model_run", tmp_path / "run") / "history.json").read_text())
    assert len(history["loss"]) == epochs
    assert not list(checkpoints.rglob("*.index"))  # nothing is left of a training that ended


def test_failed_step_is_retried_and_stops_what_depends_on_it(cluster, compiled_file, folders, told):
    url, messages = told
    failed = cluster.run(compiled_file, {"WEBHOOK": url}, **folders | {"data_path": "/nowhere"})
    assert failed.tasks["ImageExampleGen"].state == "FAILED"
    assert failed.tasks["ImageExampleGen"].attempts == 2
    ran = {"ImageExampleGen", "Steps", "Notify"}
    assert {state for name, state in failed.states().items() if name not in ran} == {"OMITTED"}
    assert "/nowhere does not exist" in failed.tasks["ImageExampleGen"].log.read_text()
    assert messages[-1] == {
        "pipeline": "digits", "run": failed.id, "succeeded": False, "state": "FAILED",
        "text": f"digits: run {failed.id} failed",
    }  # fmt: skip


def test_end_of_a_good_run_is_told_too(first, told):
    [message] = [message for message in told[1] if message["run"] == first.id]
    assert message["succeeded"] and message["text"] == f"digits: run {first.id} succeeded"


def test_batch_inference_asks_the_served_model(
    first, cluster, compiled_inference, folders, store, digits_folder, tmp_path
):
    import shutil

    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    shutil.copytree(digits_folder / "7", tmp_path / "unlabelled")
    run = cluster.run(compiled_inference, images=str(tmp_path / "unlabelled"), destination=folders["destination"])
    assert run.succeeded, "\n".join(task.log.read_text()[-3000:] for task in run.tasks.values() if task.log)
    files = [str(file) for file in fetch(store, run, "BulkInferrer", "inference_result", tmp_path / "out").iterdir()]
    records = tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record).predict_log for record in records]
    answers = [tf.make_ndarray(log.response.outputs["label"])[0].decode() for log in logs]
    assert len(answers) == len(list((digits_folder / "7").iterdir()))
    assert answers.count("7") / len(answers) >= 0.9


def test_wrong_run_parameters_are_refused_before_anything_runs(cluster, compiled_file):
    with pytest.raises(RefusedError, match="epocs is not one of"):
        cluster.run(compiled_file, epocs=3)
    with pytest.raises(RefusedError, match="wrong type"):
        cluster.run(compiled_file, epochs="three")
