"""What `tfx-vision compile` writes: complete, the same every time, and nothing that Kubeflow would refuse."""

import json
import subprocess
import sys

import compiled as kubeflow
import pytest
import startup
import yaml
from kfp.pipeline_spec import pipeline_spec_pb2 as spec
from kubernetes_api import admit

from pipeline.config import ConfigError, build_config
from pipeline.kubeflow.check import check
from pipeline.kubeflow.compile import compile_pipeline
from pipeline.kubeflow.parameters import apply


@pytest.fixture(scope="module")
def compiled(compiled_file):
    return kubeflow.read(compiled_file)


def compile_again(config, tmp_path):
    compile_pipeline(config, tmp_path / "pipeline.yaml")
    return kubeflow.read(tmp_path / "pipeline.yaml")


def test_nothing_that_open_source_kubeflow_refuses(compiled):
    assert kubeflow.refused(compiled) == []


def test_the_walk_finds_what_kubeflow_refuses(compiled_file):
    broken = kubeflow.read(compiled_file)
    broken.deployment.executors["Champion_executor"].resolver.SetInParent()
    broken.deployment.executors["Trainer_executor"].container.lifecycle.pre_cache_check.command.append("x")
    broken.deployment.executors["Pusher_executor"].container.ClearField("command")
    broken.tasks["Report"].inputs.parameters["config"].runtime_value.runtime_parameter = "x"
    assert sorted(line.split(":")[0] for line in kubeflow.refused(broken)) == [
        "Champion", "Pusher", "Report.config", "Trainer",
    ]  # fmt: skip


def test_every_component_of_the_graph_is_a_task(compiled):
    assert set(compiled.tasks) == {
        "ImageExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "DataGate", "Transform", "Tuner",
        "Trainer", "Champion", "Evaluator", "InfraValidator", "Pusher", "Report", "Steps", "Notify",
    }  # fmt: skip


def test_start_up_is_measured_of_each_step_with_the_user_s_module(compiled):
    assert set(startup.steps(compiled)) == set(compiled.tasks) - {"Steps"}
    assert all("trainer_module.trainer.run_fn" in code for code in startup.start_ups(compiled, "Trainer"))


def test_a_batch_inference_is_compiled_too(compiled_inference):
    inference = kubeflow.read(compiled_inference)
    assert kubeflow.refused(inference) == []
    assert set(inference.tasks) == {"ImageFolderGen", "Champion", "BulkInferrer"}
    having = {name: set(one.inputs.parameters) & {"images", "destination"} for name, one in inference.tasks.items()}
    assert having == {"ImageFolderGen": {"images"}, "Champion": {"destination"}, "BulkInferrer": set()}
    assert set(inference.pipeline.root.input_definitions.parameters) == {"images", "destination"}
    assert [mount.constant for mount in inference.pod("Champion").pvc_mount] == ["models"]
    cached = {name for name, task in inference.tasks.items() if task.caching_options.enable_cache}
    assert cached == {"BulkInferrer"}


COMPILE = """
import sys
from pipeline.console import main
main(["compile", "config.yaml", "-o", "pipeline.yaml"], standalone_mode=False)
heavy = ("tensorflow", "apache_beam", "tensorflow_model_analysis", "kubernetes")
print([name for name in heavy if type(sys.modules.get(name)).__name__ == "module"])
"""


def compile_elsewhere(config, folder):
    """Compiles by the command, in a process of its own; returns what the process says and the file that it writes."""
    from transform.config import to_json

    (folder / "config.yaml").write_text(yaml.safe_dump(to_json(config)))
    ended = subprocess.run(
        [sys.executable, "-c", COMPILE],
        cwd=folder,
        env={"PYTHONHASHSEED": "7", "PATH": "/usr/bin"},
        check=True,
        capture_output=True,
        text=True,
    )
    return ended.stdout, folder / "pipeline.yaml"


def test_same_configuration_gives_the_same_bytes_anywhere(compiled_file, cluster_config, tmp_path):
    """In another process with other hash seeds, in another folder, and without the libraries that steps run on."""
    said, compiled = compile_elsewhere(cluster_config(), tmp_path)
    assert said.endswith("[]\n")
    assert compiled.read_bytes() == compiled_file.read_bytes()


def test_an_accepted_schema_goes_into_the_pipeline(cluster_config, tmp_path):
    import dataclasses

    from components.data_gate.config import GateConfig

    text = "".join(f'feature {{ name: "{name}" type: BYTES }}\n' for name in ("image", "label"))
    (tmp_path / "schema.pbtxt").write_text(text)
    config = dataclasses.replace(cluster_config(), gate=GateConfig(schema=str(tmp_path / "schema.pbtxt")))
    said, compiled = compile_elsewhere(config, tmp_path)
    assert said.endswith("[]\n")
    accepted = kubeflow.read(compiled).tasks["SchemaGen"].inputs.parameters["accepted"]
    assert accepted.runtime_value.constant.string_value == text


def test_pipeline_name_is_a_kubernetes_name(cluster_config, tmp_path):
    import dataclasses

    compiled = compile_again(dataclasses.replace(cluster_config(), name="fashion_mnist"), tmp_path)
    assert compiled.pipeline.pipeline_info.name == "fashion-mnist"


def test_resources_retries_and_caching_of_each_step(cluster_config, tmp_path):
    steps = {"trainer": {"accelerators": 2, "memory_limit": "32Gi", "retries": 5}, "transform": {"caching": False}}
    compiled = compile_again(cluster_config(steps=steps, backoff={"seconds": 7}), tmp_path)
    resources = compiled.executor("Trainer").container.resources
    assert (resources.resource_cpu_request, resources.resource_memory_limit) == ("2", "32Gi")
    assert resources.memory_limit == pytest.approx(34.36, abs=0.01)  # GB, for older servers
    assert (resources.accelerator.resource_type, resources.accelerator.resource_count) == ("nvidia.com/gpu", "2")
    assert not compiled.executor("Pusher").container.resources.HasField("accelerator")
    tasks = compiled.tasks
    assert (tasks["Trainer"].retry_policy.max_retry_count, tasks["Trainer"].retry_policy.backoff_duration.seconds) == (
        5,
        7,
    )
    assert not tasks["DataGate"].HasField("retry_policy")
    uncached = {name for name, task in tasks.items() if not task.caching_options.enable_cache}
    assert uncached == {"Steps", "Notify", "ImageExampleGen", "Champion", "Pusher", "Transform"}


def test_pods_get_what_the_cluster_section_says(cluster_config, tmp_path):
    compiled = compile_again(
        cluster_config(
            node_selector={"disk": "ssd"},
            tolerations=[{"key": "gpu"}],
            secrets=[{"name": "store", "env": {"AWS_ACCESS_KEY_ID": "id"}, "path": "/secrets"}],
            image_pull_secrets=["registry"],
            steps={"trainer": {"node_selector": {"pool": "gpu"}}},
        ),
        tmp_path,
    )
    trainer, pusher = compiled.pod("Trainer"), compiled.pod("Pusher")
    assert dict(trainer.node_selector.labels) == {"disk": "ssd", "pool": "gpu"}
    assert dict(pusher.node_selector.labels) == {"disk": "ssd"}
    assert trainer.tolerations[0].key == "gpu" and trainer.image_pull_secret[0].secret_name == "registry"
    assert trainer.secret_as_env[0].key_to_env[0].env_var == "AWS_ACCESS_KEY_ID"
    assert trainer.secret_as_volume[0].mount_path == "/secrets"
    assert not trainer.pvc_mount
    assert [(mount.constant, mount.mount_path) for mount in pusher.pvc_mount] == [("models", "/mnt/models")]


def test_run_parameters_have_types_defaults_and_descriptions(compiled):
    parameters = compiled.pipeline.root.input_definitions.parameters
    assert parameters["epochs"].parameter_type == spec.ParameterType.NUMBER_INTEGER
    assert parameters["epochs"].default_value.number_value == 14  # as configured
    assert parameters["learning_rate"].parameter_type == spec.ParameterType.NUMBER_DOUBLE
    assert parameters["data_path"].default_value.string_value == "/mnt/images/digits"
    assert all(parameter.is_optional and parameter.description for parameter in parameters.values())
    assert "test_path" not in parameters  # there is none to replace


def test_run_parameters_reach_the_tasks_they_concern_and_no_others(compiled):
    """Another task would miss the cache for nothing."""
    having = {
        name: {task for task, one in compiled.tasks.items() if task != "Steps" and name in one.inputs.parameters}
        for name in compiled.pipeline.root.input_definitions.parameters
    }
    assert having["data_path"] == {"ImageExampleGen", "Report"}
    assert having["epochs"] == {"Trainer", "Report"}
    assert having["trials"] == {"Tuner", "Report"}
    assert having["destination"] == {"Champion", "Pusher", "Report"}
    assert having["min_accuracy"] == {"Evaluator", "Report"}


def test_run_parameters_replace_the_settings_they_stand_for():
    properties = {
        "custom_config": json.dumps({"trainer": {"epochs": 1, "seed": 3}}),
        "destination": "/new",
        "epochs": 9,
        "min_accuracy": 0.25,
        "max_accuracy_drop": 0.5,
        "min_class_accuracy": 0.0,
        "config": json.dumps({"min_accuracy": 0.5, "top_k": 5}),
    }
    apply(
        ["epochs=custom_config:trainer.epochs", "destination=destination"]
        + [f"{name}=config:{name}" for name in ("min_accuracy", "max_accuracy_drop", "min_class_accuracy")],
        properties,
    )
    assert json.loads(properties["custom_config"]) == {"trainer": {"epochs": 9, "seed": 3}}
    assert json.loads(properties.pop("config"))["min_accuracy"] == 0.25
    assert set(properties) == {"custom_config", "destination"}


def test_vertex_gets_a_pipeline_job(cluster_config, tmp_path):
    compile_pipeline(cluster_config(pipeline_root="gs://bucket/root"), tmp_path / "job.json", "vertex")
    job = json.loads((tmp_path / "job.json").read_text())
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root"
    assert job["pipelineSpec"]["schemaVersion"] == "2.1.0"


WORKERS = {"image": "i", "shared_volume": {"claim": "shared"}, "steps": {"trainer": {"workers": 3}}}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kubeflow": {}}, "kubeflow.image: is required"),
        ({"pusher": {}}, "pusher.destination: is required"),
        ({"pusher": {"destination": "models"}}, "pusher.destination: models is relative"),
        ({"data": {"path": "/elsewhere"}}, "data.path: /elsewhere is on none of kubeflow.volumes"),
        ({"kubeflow": WORKERS | {"shared_volume": None}}, "kubeflow.steps.trainer.workers: needs a volume that all"),
        ({"kubeflow": {"image": "i", "flink": {}}}, "kubeflow.flink: needs a volume that all"),
        ({"kubeflow": WORKERS, "trainer": {"strategy": "mirrored"}}, "trainer.strategy: mirrored trains in one pod"),
        ({"data": {"path": "s3://i/{SPAN}", "num_spans": 2}}, "data.num_spans: 2 spans are found by a Resolver"),
        ({"kubeflow": WORKERS, "trainer": {"batch_size": 64}}, "64 images cannot be shared equally by 3 replicas"),
    ],
)
def test_what_cannot_work_on_a_cluster_is_refused(change, sentence):
    document = {
        "name": "x",
        "data": {"path": "s3://images/x"},
        "pusher": {"destination": "/mnt/models/x"},
        "kubeflow": {"image": "i", "volumes": [{"claim": "models", "path": "/mnt/models"}]},
    }
    with pytest.raises(ConfigError, match=sentence):
        check(build_config(document | change, "x"), "kubeflow")


@pytest.mark.parametrize(
    ("kubeflow", "sentence"),
    [
        ({"steps": {"trainr": {}}}, "kubeflow.steps.trainr: unknown key; did you mean trainer"),
        ({"steps": {"trainer": {"memory_limit": "much"}}}, "kubeflow.steps.trainer.memory_limit: 'much' is refused"),
        ({"steps": {"trainer": {"memory_limit": "1Gi"}}}, "memory_request 4Gi is more than memory_limit 1Gi"),
        ({"pipeline_root": "file:///x"}, "kubeflow.pipeline_root: 'file:///x' is refused"),
        ({"secrets": [{"name": "a"}]}, "kubeflow.secrets.0: give `env`"),
        ({"volumes": [{"claim": "c", "path": "mnt"}]}, "kubeflow.volumes.0.path: 'mnt' is refused"),
    ],
)
def test_mistakes_in_the_section_name_their_key(kubeflow, sentence):
    with pytest.raises(ConfigError) as refused:
        build_config({"name": "x", "data": {"path": "/x"}, "kubeflow": kubeflow}, "x")
    assert sentence in str(refused.value)


SHARED = {"claim": "shared", "path": "/mnt/shared"}


def option(compiled, task: str, name: str) -> str:
    """Value of an argument of a task's entrypoint."""
    arguments = list(compiled.executor(task).container.args)
    return arguments[arguments.index(name) + 1]


def test_training_with_workers_gives_the_resources_to_the_workers(cluster_config, tmp_path):
    compiled = compile_again(
        cluster_config(
            shared_volume=SHARED,
            secrets=[{"name": "store", "env": {"AWS_ACCESS_KEY_ID": "id"}, "path": "/secrets"}],
            tolerations=[{"key": "gpu"}],
            image_pull_secrets=["registry"],
            service_account="runner",
            steps={
                "trainer": {"workers": 4, "accelerators": 2, "memory_limit": "32Gi", "node_selector": {"pool": "gpu"}}
            },
            volumes=[
                {"claim": "images", "path": "/mnt/images", "steps": ["image_example_gen"]},
                {"claim": "models", "path": "/mnt/models", "steps": ["champion", "pusher"]},
                {"claim": "checkpoints", "path": "/c", "sub_path": "x", "steps": ["trainer"]},
            ],
        ),
        tmp_path,
    )
    job = json.loads(option(compiled, "Trainer", "--training_job"))
    worker = job["spec"]["tfReplicaSpecs"]["Worker"]
    assert worker["replicas"] == 4
    pod = worker["template"]["spec"]
    [container] = pod["containers"]
    assert container["resources"]["limits"] == {"cpu": "8", "memory": "32Gi", "nvidia.com/gpu": "2"}
    assert pod["nodeSelector"] == {"pool": "gpu"} and pod["serviceAccountName"] == "runner"
    claims = {one["name"]: one.get("persistentVolumeClaim", {}).get("claimName") for one in pod["volumes"]}
    mounted = {one["mountPath"]: claims[one["name"]] for one in container["volumeMounts"]}
    assert mounted == {"/tmp": None, "/mnt/shared": "shared", "/c": "checkpoints", "/secrets": None}
    admit(job | {"metadata": {"name": "trainer-x"} | job["metadata"]})
    # The step's own pod sees the volume too, and only waits.
    own = compiled.executor("Trainer").container.resources
    assert own.resource_memory_limit == "3Gi" and not own.HasField("accelerator")
    assert ("shared", "/mnt/shared") in [(one.constant, one.mount_path) for one in compiled.pod("Trainer").pvc_mount]
    assert option(compiled, "Trainer", "--shared_folder") == "/mnt/shared/digits/Trainer"
    assert "--training_job" not in compiled.executor("Tuner").container.args


def test_flink_runs_the_beam_pipelines_of_its_steps(cluster_config, tmp_path):
    compiled = compile_again(
        cluster_config(shared_volume=SHARED, flink={"parallelism": 8, "steps": ["transform"]}), tmp_path
    )
    arguments = list(compiled.executor("Transform").container.args)
    assert {"--runner=PortableRunner", "--environment_type=EXTERNAL", "--parallelism=8"} <= set(arguments)
    assert "--runner=FnApiRunner" not in arguments
    assert option(compiled, "Transform", "--shared_folder") == "/mnt/shared/digits/Transform"
    assert "--runner=FnApiRunner" in compiled.executor("StatisticsGen").container.args
    shared = {task for task in compiled.tasks if "shared" in [one.constant for one in compiled.pod(task).pvc_mount]}
    assert shared == {"Transform"}
