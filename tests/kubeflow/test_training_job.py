"""Training with several pods: the step, a TFJob, workers, and back.

The API server, the operator and the kubelet are stand-ins (kubernetes_api, training_operator); the step and its workers
are real processes.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import conformance
import control_plane
import jsonschema
import kubernetes_api
import pytest
import training_operator
import yaml
from compiled import keep_tasks
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as spec

from pipeline.config import PipelineConfig
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.config import KubeflowConfig
from pipeline.kubeflow.tfjob import tfjob

TASK = "s3://pipelines/runs/1/Trainer/1"
PATIENCE_SECONDS = 120
OPERATOR = "v1.9.3"
"""Version of the training operator whose schema is looked at."""


@pytest.fixture
def api(tmp_path):
    folder = tmp_path / "cluster"
    folder.mkdir()
    with kubernetes_api.running(folder) as (api, _):
        yield api


@pytest.fixture
def operator(api, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    with training_operator.operating(api.logs / "kubeconfig", api.logs) as operator:
        yield operator


@pytest.fixture
def shared(tmp_path):
    return tmp_path / "shared"


def start(pod: Path, shared: Path, kubeconfig: Path, mode: str) -> subprocess.Popen:
    """The step's process, after KFP's launcher has copied its inputs."""
    schema = pod / "s3/pipelines/runs/1/SchemaGen/0/schema"
    schema.mkdir(parents=True, exist_ok=True)
    (schema / "schema.txt").write_text("a schema")
    request = spec.ExecutorInput()
    request.inputs.artifacts["schema"].artifacts.add(
        name="17", uri="s3://pipelines/runs/1/SchemaGen/0/schema", type={"schema_title": "tfx.Schema"}
    )
    request.inputs.parameter_values["config"].string_value = mode
    request.outputs.artifacts["model"].artifacts.add(
        name="model", uri=f"{TASK}/model", type={"instance_schema": "title: tfx.Model\ntype: object\n"}
    )
    request.outputs.artifacts["executor-logs"].artifacts.add(
        name="executor-logs", uri=f"{TASK}/executor-logs", type={"schema_title": "system.Artifact"}
    )
    request.outputs.output_file = str(pod / "output.json")
    volume = {"claim": "shared", "path": str(shared)}
    cluster = KubeflowConfig(image="i", shared_volume=volume, steps={"trainer": {"workers": 2}})
    arguments = ["--executor_class_path", "executors.Training"]
    arguments += ["--json_serialized_invocation_args", json_format.MessageToJson(request)]
    arguments += ["--json_serialized_inputs_spec_args", "{}"]
    arguments += ["--shared_folder", f"{shared}/digits/Trainer"]
    arguments += ["--training_job", json.dumps(tfjob(cluster, "trainer"))]
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.kubeflow.entrypoint", *arguments],
        cwd=pod,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(pod),
            "KUBECONFIG": str(kubeconfig),
            "TFX_VISION_ARTIFACT_ROOT": str(pod),
            "TFX_VISION_RUN_ID": "run-1",
            "TFX_VISION_POD_NAME": "digits-trainer-pod",
            "TFX_VISION_POD_UID": "0123",
            "TFX_VISION_NAMESPACE": conformance.NAMESPACE,
            "_KFP_RUNTIME": "true",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def until(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert condition(), process.communicate(timeout=5)[0] if process.poll() is not None else "nothing happened"


def until_gone(api) -> None:
    """The step only asks for the deletion: the job goes when its pods have gone."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (left := [name for plural, name in list(api.objects) if plural == "tfjobs"]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def test_workers_train_and_the_step_has_the_chief_s_outputs(api, operator, shared, tmp_path):
    pod = tmp_path / "pod"
    pod.mkdir()
    step = start(pod, shared, api.logs / "kubeconfig", "train")
    output, _ = step.communicate(timeout=PATIENCE_SECONDS)
    assert step.returncode == 0, output
    assert (pod / "s3/pipelines/runs/1/Trainer/1/model/model.txt").read_text() == "a schema trained"
    reported = json_format.Parse((pod / "output.json").read_text(), spec.ExecutorOutput())
    [model] = reported.artifacts["model"].artifacts
    assert model.uri == f"{TASK}/model"
    assert model.metadata["source"] == "s3://pipelines/runs/1/SchemaGen/0/schema/schema.txt"
    assert output.count("worker 0 of 2 trains") == 1  # the chief's log, each line once
    assert "worker 1 of 2" not in output
    until_gone(api)
    assert not list(shared.rglob("run-1"))
    assert [one["metadata"]["labels"]["app"] for one in operator.started] == ["training-worker"] * 2


def test_failure_of_a_worker_is_the_step_s_in_one_sentence(api, operator, shared, tmp_path):
    step = start(tmp_path, shared, api.logs / "kubeconfig", "fail 1")
    output, _ = step.communicate(timeout=PATIENCE_SECONDS)
    assert step.returncode == 1
    assert output.splitlines()[-1] == (
        "training: worker 1 (trainer-run-1-worker-1) ended with exit code 1: "
        "ValueError: 64 images cannot be shared equally by 3 replicas"
    )
    assert "Traceback" not in output
    assert not (tmp_path / "output.json").exists()
    [folder] = shared.rglob("run-1")
    assert [path.name for path in folder.iterdir()] == ["checkpoint 0"]  # for the next try; the staging is gone


def test_sigterm_deletes_the_job_and_the_next_try_waits_until_it_is_gone(api, operator, shared, tmp_path):
    first = start(tmp_path, shared, api.logs / "kubeconfig", "wait")
    until(lambda: len(list(shared.rglob("checkpoint *"))) == 2, first)
    [job] = [one for (plural, _), one in api.objects.items() if plural == "tfjobs"]
    assert job["metadata"]["ownerReferences"][0]["uid"] == "0123"
    first.send_signal(signal.SIGTERM)
    second = start(tmp_path, shared, api.logs / "kubeconfig", "train")
    assert first.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM
    output, _ = second.communicate(timeout=PATIENCE_SECONDS)
    assert second.returncode == 0, output
    assert len(operator.started) == 4  # two workers a try
    until_gone(api)


@pytest.mark.parametrize(
    ("code", "message", "sentence"),
    [
        (
            404,
            "the server could not find the requested resource",
            "the cluster knows no TFJob; install Kubeflow's training operator, "
            "or set kubeflow.steps.trainer.workers to 1",
        ),
        (
            403,
            "tfjobs is forbidden",
            "the step's service account may not create a TFJob in kubeflow; "
            "apply kfp/cluster/training.yaml (tfjobs is forbidden)",
        ),
    ],
)
def test_cluster_that_is_not_prepared_is_named_with_a_remedy(api, shared, tmp_path, code, message, sentence):
    api.refuses = kubernetes_api.Refused(code, message)
    output, _ = start(tmp_path, shared, api.logs / "kubeconfig", "train").communicate(timeout=PATIENCE_SECONDS)
    assert output.splitlines()[-1] == f"training: {sentence}"


DATA_STEPS = ("ImageExampleGen", "StatisticsGen", "SchemaGen", "Transform")
EPOCHS = 12
TOLERANCE = 1e-3
"""Of losses and accuracies after 12 epochs: the workers add up their gradients in another order."""


def training(configure, tmp_path, **step) -> PipelineConfig:
    """The digits without what is random for each replica: dropout, and statistics of the replica's part of a batch."""
    volumes = [{"claim": name, "path": f"/mnt/{name}"} for name in ("images", "models")]
    return configure(
        data={"path": "/mnt/images/digits", "splits": {"train": 6, "eval": 2, "test": 2}},
        model={"filters": [16, 32], "hidden_units": 32, "dropout": 0, "batch_normalization": False},
        tuner={"enabled": False},
        trainer={"epochs": EPOCHS, "batch_size": 32, "patience": 0},
        pusher={"destination": "/mnt/models/digits"},
        kubeflow={
            "image": "i",
            "pipeline_root": "s3://pipelines/workers",
            "volumes": volumes,
            "shared_volume": {"claim": "shared", "path": str(tmp_path / "shared")},
            "steps": {"image_example_gen": {"caching": True}, "trainer": step},
            "backoff": {"seconds": 0},
        },
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_workers_ended_and_tried_again_train_what_one_does(
    api, operator, store, configure, digits_folder, tmp_path
):
    """The Trainer of the compiled pipeline; SIGTERM after the third epoch, as when the step's node is drained."""
    cluster = conformance.Cluster(store, "s3://pipelines/workers", tmp_path / "pods")
    runs = []
    for workers in (1, 2):
        path = tmp_path / f"{workers}.yaml"
        compile_pipeline(training(configure, tmp_path, workers=workers), path)
        keep_tasks(path, (*DATA_STEPS, "Trainer"))
        cluster.watch = terminate_after_the_third_epoch(tmp_path / "shared") if workers == 2 else None
        environment = {"KUBECONFIG": str(api.logs / "kubeconfig")}
        runs.append(cluster.run(path, environment, data_path=str(digits_folder)))
        assert runs[-1].succeeded, runs[-1].tasks["Trainer"].log.read_text()[-4000:]
    _, together = runs
    assert {together.tasks[name].state for name in DATA_STEPS} == {"CACHED"}
    assert together.tasks["Trainer"].attempts == 2 and len(operator.started) == 4
    log = together.tasks["Trainer"].log.read_text()
    assert "MultiWorkerMirroredStrategy, 2 replicas of 16 images" in log
    assert "continuing" in log and "epoch 1:" not in log
    assert all(float(accuracy) <= 1 for accuracy in re.findall(r"accuracy ([\d.]+)", log))  # not the workers' sum
    one, two = (history(store, run, tmp_path / run.id) for run in runs)
    assert len(two["loss"]) == EPOCHS
    for name, values in one.items():
        assert two[name] == pytest.approx(values, abs=TOLERANCE), name
    assert not any(path.is_file() for path in (tmp_path / "shared").rglob("*"))


def terminate_after_the_third_epoch(shared: Path):
    def watch(task, attempt, process, pod) -> None:
        while task == "Trainer" and attempt == 1 and process.poll() is None:
            if list(shared.glob("digits/Trainer/*/checkpoints/*/state/*-3.index")):
                process.send_signal(signal.SIGTERM)
                return
            time.sleep(0.02)

    return watch


def history(store, run, folder: Path) -> dict[str, list[float]]:
    store.download(run.tasks["Trainer"].outputs["model_run"].uri, folder)
    return json.loads((folder / "history.json").read_text())


@pytest.mark.slow
def test_custom_resource_s_own_schema_takes_the_job_and_knows_each_key_of_it(configure, tmp_path):
    """The schema that the training operator installs, from its Go module."""
    config = training(configure, tmp_path, workers=2, accelerators=1, node_selector={"pool": "gpu"}).kubeflow
    job = tfjob(config, "trainer")
    job["metadata"]["name"] = "trainer-1"
    job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0]["args"] = ["--x"]
    schema = closed(custom_resource(tmp_path)["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    jsonschema.validate(job, schema)
    job["spec"]["tfReplicaSpecs"]["Worker"]["replica"] = 2
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(job, schema)


def custom_resource(folder: Path) -> dict[str, Any]:
    """The training operator's definition of a TFJob."""
    module = control_plane.go_module(folder, f"github.com/kubeflow/training-operator@{OPERATOR}")
    return yaml.safe_load((module / "manifests/base/crds/kubeflow.org_tfjobs.yaml").read_text())


def closed(schema: Any) -> Any:
    """The schema refusing keys that it does not name, which an API server drops."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        result.setdefault("additionalProperties", False)
    return result
