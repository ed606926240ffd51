"""Training with several pods: the step, a TFJob, workers, and back.

The API server, the operator and the kubelet are stand-ins (kubernetes_api, training_operator); the step and its workers
are real processes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import kubernetes_api
import pytest
import training_operator
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as spec

from pipeline.kubeflow.config import KubeflowConfig
from pipeline.kubeflow.tfjob import tfjob

TASK = "s3://pipelines/runs/1/Trainer/1"
PATIENCE_SECONDS = 120


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
            "TFX_VISION_NAMESPACE": "default",
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
    assert not any(plural == "tfjobs" for plural, _ in api.objects)
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
    assert not any(plural == "tfjobs" for plural, _ in api.objects)


def test_cluster_without_the_operator_is_named(api, shared, tmp_path):
    api.known = False
    output, _ = start(tmp_path, shared, api.logs / "kubeconfig", "train").communicate(timeout=PATIENCE_SECONDS)
    assert output.splitlines()[-1] == (
        "training: the cluster knows no TFJob; install Kubeflow's training operator, "
        "or set kubeflow.steps.trainer.workers to 1"
    )
