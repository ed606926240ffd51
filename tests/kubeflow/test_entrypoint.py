"""The program in a step's container, run as a process with what KFP's launcher gives it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as spec

TASK = "s3://pipelines/runs/1/Task/1"


@pytest.fixture
def pod(tmp_path):
    """A pod's file system after the launcher has downloaded the inputs."""
    schema = tmp_path / "s3/pipelines/runs/1/SchemaGen/0/schema"
    schema.mkdir(parents=True)
    (schema / "schema.txt").write_text("a schema")
    (tmp_path / "empty").mkdir()
    return tmp_path


def start(pod: Path, executor: str, *more: str, **environment: str) -> subprocess.Popen:
    executor_input = spec.ExecutorInput()
    executor_input.inputs.artifacts["schema"].artifacts.add(
        name="17", uri="s3://pipelines/runs/1/SchemaGen/0/schema", type={"schema_title": "tfx.Schema"}
    ).metadata.update({"version": 4})
    executor_input.inputs.parameter_values["config"].string_value = json.dumps({"trainer": {"epochs": 1}})
    executor_input.inputs.parameter_values["epochs"].number_value = 12
    executor_input.outputs.artifacts["model"].artifacts.add(
        name="model", uri=f"{TASK}/model", type={"instance_schema": "title: tfx.Model\ntype: object\n"}
    )
    executor_input.outputs.artifacts["executor-logs"].artifacts.add(
        name="executor-logs", uri=f"{TASK}/executor-logs", type={"schema_title": "system.Artifact"}
    )
    executor_input.outputs.output_file = str(pod / "output.json")
    inputs_spec = spec.ComponentInputsSpec()
    inputs_spec.parameters["epochs"].parameter_type = spec.ParameterType.NUMBER_INTEGER
    arguments = ["--executor_class_path", f"executors.{executor}"]
    arguments += ["--json_serialized_invocation_args", json_format.MessageToJson(executor_input)]
    arguments += ["--json_serialized_inputs_spec_args", json_format.MessageToJson(inputs_spec)]
    arguments += ["--runner=FnApiRunner", "--run_parameter", "epochs=config:trainer.epochs", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.kubeflow.entrypoint", *arguments],
        cwd=pod / "empty",
        env={
            "PATH": "/usr/bin",
            "PYTHONPATH": str(Path(__file__).parent),
            "TFX_VISION_ARTIFACT_ROOT": str(pod),
            "TFX_VISION_RUN_ID": "run-1",
            "_KFP_RUNTIME": "true",
        }
        | environment,
    )


@pytest.fixture
def finished(pod):
    assert start(pod, "Recording").wait(timeout=120) == 0
    seen = json.loads((pod / TASK.replace("s3://", "s3/") / "model/seen.json").read_text())
    return seen, json_format.Parse((pod / "output.json").read_text(), spec.ExecutorOutput())


def test_executor_gets_local_paths_typed_properties_and_run_parameters(finished):
    seen, _ = finished
    assert seen["input"] == "a schema" and seen["input version"] == 4 and seen["run"] == "run-1"
    assert seen["properties"] == {"config": '{"trainer": {"epochs": 12}}'}
    assert not {"kubernetes", "keras_tuner", "apache_beam"} & set(seen["modules"])


def test_what_is_reported_has_the_store_s_uris_and_nothing_kubeflow_refuses(finished):
    _, output = finished
    assert set(output.artifacts) == {"model"}  # the launcher's log is the launcher's to report
    [model] = output.artifacts["model"].artifacts
    assert model.uri == f"{TASK}/model"
    metadata = dict(model.metadata)
    assert metadata["source"] == "s3://pipelines/runs/1/SchemaGen/0/schema/schema.txt"
    assert metadata["number"] == 3
    assert "nothing" not in metadata


def test_executor_works_on_the_shared_volume_and_its_outputs_are_copied_back(pod):
    """As a step does whose Beam workers are other pods."""
    shared = pod / "mnt/shared/digits/Task"
    assert start(pod, "Recording", "--shared_folder", str(shared)).wait(timeout=120) == 0
    seen = json.loads((pod / TASK.replace("s3://", "s3/") / "model/seen.json").read_text())
    assert seen["input"] == "a schema" and Path(seen["input folder"]).is_relative_to(shared / "run-1")
    [model] = json_format.Parse((pod / "output.json").read_text(), spec.ExecutorOutput()).artifacts["model"].artifacts
    assert model.uri == f"{TASK}/model"
    assert model.metadata["source"] == "s3://pipelines/runs/1/SchemaGen/0/schema/schema.txt"
    assert not list(shared.iterdir())


def test_termination_goes_through_the_executor(pod):
    started, cleaned_up = pod / "started", pod / "cleaned up"
    process = start(pod, "Waiting", STARTED=str(started), CLEANED_UP=str(cleaned_up))
    deadline = time.monotonic() + 120
    while not started.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert cleaned_up.exists()
    assert not (pod / "output.json").exists()


HEAVY = ("tensorflow", "IPython", "google.cloud.bigquery", "kubernetes")
BEAM = ("apache_beam", "numpy.testing")


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("champion.component", HEAVY + BEAM),
        ("infra_validator.component", HEAVY + BEAM),
        ("pusher.component", HEAVY + BEAM),
        ("image_example_gen.executor", HEAVY),
        ("statistics_gen.executor", HEAVY),
        ("example_validator.executor", HEAVY),
    ],
)
def test_step_that_needs_no_tensorflow_imports_none(module, heavy):
    code = (
        "import sys; from pipeline.kubeflow import entrypoint;"
        f"entrypoint.load('components.{module}.Executor');"
        "import tfx.orchestration.kubeflow.v2.container.kubeflow_v2_entrypoint_utils;"
        f"heavy = {heavy};"
        "print([name for name in heavy if type(sys.modules.get(name)).__name__ == 'module'])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"_KFP_RUNTIME": "true"},
    )
    assert ended.stdout == "[]\n"


def test_deferred_package_is_loaded_once_for_all_threads(tmp_path, monkeypatch):
    """A thread that asks while another loads it waits, and neither sees half of it."""
    from concurrent.futures import ThreadPoolExecutor

    from pipeline.deferred import defer

    (tmp_path / "slow_package").mkdir()
    (tmp_path / "slow_package/__init__.py").write_text("import time\nfirst = 1\ntime.sleep(0.3)\nlast = time.time()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    defer("slow_package")
    import slow_package

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(lambda _: slow_package.last, range(4)))) == 1
    assert slow_package.first == 1


@pytest.mark.parametrize(
    ("uri", "path"), [("s3://b/k", "/s3/b/k"), ("minio://b/k/l", "/minio/b/k/l"), ("gs://b/k", "/gcs/b/k")]
)
def test_local_paths_are_the_launcher_s(uri, path, monkeypatch):
    from pipeline.kubeflow import entrypoint

    monkeypatch.delenv(entrypoint.ARTIFACT_ROOT, raising=False)
    assert entrypoint.local_path(uri) == path


def test_other_stores_are_refused():
    from pipeline.kubeflow import entrypoint

    with pytest.raises(ValueError, match="file:///x is in none of the stores"):
        entrypoint.local_path("file:///x")
