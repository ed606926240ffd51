"""The pipeline → what Kubeflow runs: KFP's PipelineSpec and the Kubernetes platform spec.

TFX's own KubeflowV2DagRunner builds the spec. It leaves out what an orderly run needs, which is added here: resources,
accelerators, retries, caching step by step, run parameters and, in a second YAML document, everything about the pods.
"""

import json
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as spec
from tfx.orchestration import tfx_runner
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
from tfx.orchestration.pipeline import Pipeline

from pipeline.config import AnyConfig, InferenceConfig
from pipeline.kubeflow import artifact_types, parameters
from pipeline.kubeflow.check import Engine, check
from pipeline.kubeflow.config import KubeflowConfig, StepConfig, amount
from pipeline.kubeflow.exit_handler import add_exit_handler
from pipeline.kubeflow.platform import on_flink, platform_spec, shares_artifacts, step_name
from pipeline.kubeflow.tfjob import tfjob
from transform.config import descriptions

COMMAND = ["python", "-m", "pipeline.kubeflow.entrypoint"]
"""What a step's container runs."""
RUN_PARAMETER_FLAG = "--run_parameter"
INPUTS_SPEC_FLAG = "--json_serialized_inputs_spec_args"
SHARED_FOLDER_FLAG = "--shared_folder"
TRAINING_JOB_FLAG = "--training_job"

Container: TypeAlias = spec.PipelineDeploymentConfig.PipelineContainerSpec


class KubeflowRunner(tfx_runner.TfxRunner):
    """ "Runs" a pipeline by compiling it, as the `tfx` command expects of a runner."""

    def __init__(self, config: AnyConfig, output: str | Path | None = None, engine: Engine = "kubeflow"):
        """Compiles for an engine into a file, by default NAME.yaml (NAME.json for Vertex AI)."""
        super().__init__()
        self.output = Path(output or f"{config.name}.{'json' if engine == 'vertex' else 'yaml'}")
        self._config, self._engine = config, engine

    def run(self, pipeline: Pipeline, run_options: Any = None, **_: Any) -> None:
        """Writes the compiled pipeline; the same configuration gives the same bytes."""
        config = self._config.kubeflow
        job = build_job(self._config, pipeline, self._engine)
        if self._engine == "vertex":
            text = json.dumps(job, indent=2, sort_keys=True) + "\n"
        else:
            pipeline_spec = job["pipelineSpec"]
            if config.pipeline_root:
                pipeline_spec["defaultPipelineRoot"] = config.pipeline_root
            documents = [pipeline_spec, platform_spec(config, container_executors(pipeline_spec))]
            text = yaml.safe_dump_all(documents, sort_keys=True, allow_unicode=True, width=120)
        self.output.write_text(text, encoding="utf-8")


def compile_pipeline(config: AnyConfig, output: str | Path, engine: Engine = "kubeflow") -> None:
    """Writes the compiled pipeline.

    Args:
      config: of a pipeline or of a batch inference.
      output: the file; two YAML documents for Kubeflow, a PipelineJob as JSON for Vertex AI.
      engine: which of the two.

    Raises:
      ConfigError: a setting is missing that a cluster needs, or does not suit one.
    """
    check(config, engine)
    KubeflowRunner(config, output, engine).run(build_graph(config))


def build_graph(config: AnyConfig) -> Pipeline:
    """The graph of all runners, with the names that a cluster accepts."""
    if isinstance(config, InferenceConfig):
        from pipeline.inference import create_inference_pipeline

        graph = create_inference_pipeline(config, config.kubeflow.pipeline_root or "")
    else:
        from pipeline.graph import create_pipeline

        graph = create_pipeline(config, config.kubeflow.pipeline_root or "")
    graph.pipeline_info.pipeline_name = config.name.replace("_", "-")
    name_artifact_types(graph)
    return graph


def build_job(config: AnyConfig, graph: Pipeline, engine: Engine) -> dict[str, Any]:
    """KFP's PipelineJob as JSON values."""
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image=config.kubeflow.image, default_commands=COMMAND, use_pipeline_spec_2_1=True
        )
    )
    job = runner.run(graph, write_out=False)
    pipeline_spec = json_format.ParseDict(job["pipelineSpec"], spec.PipelineSpec())
    deployment = json_format.ParseDict(job["pipelineSpec"]["deploymentSpec"], spec.PipelineDeploymentConfig())
    for name, task in pipeline_spec.root.dag.tasks.items():
        component = pipeline_spec.components[task.component_ref.name]
        executor = deployment.executors[component.executor_label]
        if executor.HasField("container"):
            step: StepConfig = getattr(config.kubeflow.steps, step_name(name))
            # The part of the KFP SDK that a step needs; the rest, with its Kubernetes client, takes seconds to import.
            executor.container.env.add(name="_KFP_RUNTIME", value="true")
            set_resources(executor.container, waiting(step))
            set_retries(task, step, config.kubeflow)
            share_work(config, name, executor.container)
            add_run_parameters(config, name, task, component, executor.container)
            # Never for Champion and Pusher, which look at what is being served, and for ImageExampleGen only where its
            # images are known not to change: TFX's drivers, which notice such changes, do not run on Kubeflow.
            task.caching_options.enable_cache = getattr(step, "caching", False)
    pipeline_spec.root.input_definitions.CopyFrom(root_inputs(config))
    if config.kubeflow.webhook and engine == "kubeflow":
        assert config.kubeflow.image  # `check` asked for it
        notify, container = add_exit_handler(pipeline_spec, deployment, config.kubeflow.image, config.kubeflow.webhook)
        set_resources(container, config.kubeflow.steps.notify)
        set_retries(notify, config.kubeflow.steps.notify, config.kubeflow)
    pipeline_spec.deployment_spec.Clear()
    pipeline_spec.deployment_spec.update(json_format.MessageToDict(deployment))
    job["pipelineSpec"] = json_format.MessageToDict(pipeline_spec)
    return job


def waiting(step: StepConfig) -> StepConfig:
    """What the step's own pod gets: little where its workers do the work."""
    return StepConfig() if getattr(step, "workers", 1) > 1 else step


def share_work(config: AnyConfig, task: str, container: Container) -> None:
    """Tells the entrypoint which other pods work for a task: a TFJob's, or Flink's."""
    kubeflow, step = config.kubeflow, step_name(task)
    if not shares_artifacts(kubeflow, step):
        return
    assert kubeflow.shared_volume
    container.args.extend([SHARED_FOLDER_FLAG, f"{kubeflow.shared_volume.path}/{config.name}/{task}"])
    if on_flink(kubeflow, step):
        assert kubeflow.flink
        beam = config.beam.arguments
        container.args[:] = [word for word in container.args if word not in beam] + kubeflow.flink.arguments
    else:
        container.args.extend([TRAINING_JOB_FLAG, json.dumps(tfjob(kubeflow, step), sort_keys=True)])


def name_artifact_types(graph: Pipeline) -> None:
    """Gives our own artifact types names that KFP accepts."""
    names = {path: name for name, path in artifact_types.CLASSES.items()}
    for component in graph.components:
        for channel in component.outputs.values():
            path = f"{channel.type.__module__}.{channel.type.__qualname__}"
            if path in names:
                channel.type = type(channel.type.__name__, (channel.type,), {"TYPE_NAME": names[path]})


def set_resources(container: Container, step: StepConfig) -> None:
    """Resources as strings, and as the numbers that servers before KFP 2.4 read."""
    resources = container.resources
    resources.resource_cpu_request, resources.resource_cpu_limit = step.cpu_request, step.cpu_limit
    resources.resource_memory_request, resources.resource_memory_limit = step.memory_request, step.memory_limit
    resources.cpu_request, resources.cpu_limit = amount(step.cpu_request), amount(step.cpu_limit)
    resources.memory_request, resources.memory_limit = (
        amount(step.memory_request) / 1e9,
        amount(step.memory_limit) / 1e9,
    )
    if step.accelerators:
        accelerator = resources.accelerator
        accelerator.resource_type, accelerator.resource_count = step.accelerator, str(step.accelerators)
        accelerator.type, accelerator.count = step.accelerator, step.accelerators


def set_retries(task: spec.PipelineTaskSpec, step: StepConfig, config: KubeflowConfig) -> None:
    """How often and after which pauses a failed step is tried again."""
    if step.retries:
        task.retry_policy.max_retry_count = step.retries
        task.retry_policy.backoff_duration.FromSeconds(config.backoff.seconds)
        task.retry_policy.backoff_factor = config.backoff.factor
        task.retry_policy.backoff_max_duration.FromSeconds(config.backoff.limit_seconds)


def add_run_parameters(
    config: AnyConfig,
    name: str,
    task: spec.PipelineTaskSpec,
    component: spec.ComponentSpec,
    container: Container,
) -> None:
    """Makes run parameters inputs of a task, and tells its entrypoint where they belong."""
    properties = {key: value.runtime_value.constant.string_value for key, value in task.inputs.parameters.items()}
    known = run_parameters(config)
    for parameter, place in list(parameters.places(known, name, properties)):
        value = setting(config, known[parameter])
        if value is None or parameter not in offered(config):
            continue
        task.inputs.parameters[parameter].component_input_parameter = parameter
        component.input_definitions.parameters[parameter].parameter_type = parameter_type(value)
        container.args.extend([RUN_PARAMETER_FLAG, f"{parameter}={place}"])
    position = list(container.args).index(INPUTS_SPEC_FLAG) + 1
    container.args[position] = json_format.MessageToJson(component.input_definitions, sort_keys=True, indent=None)


def run_parameters(config: AnyConfig) -> dict[str, str]:
    """Names of the run parameters, and the settings they replace."""
    inference = isinstance(config, InferenceConfig)
    return parameters.INFERENCE_PARAMETERS if inference else parameters.RUN_PARAMETERS


def offered(config: AnyConfig) -> list[str]:
    """The run parameters that change something with this configuration."""
    searched = isinstance(config, InferenceConfig) or config.tuner.enabled
    return [
        name
        for name, key in run_parameters(config).items()
        if setting(config, key) is not None and (searched or not key.startswith("tuner."))
    ]


def root_inputs(config: AnyConfig) -> spec.ComponentInputsSpec:
    """The run parameters with their types, defaults and descriptions."""
    inputs = spec.ComponentInputsSpec()
    for name in offered(config):
        key = run_parameters(config)[name]
        value = setting(config, key)
        described = inputs.parameters[name]
        described.parameter_type, described.is_optional = parameter_type(value), True
        described.description = describe(config, key)
        json_format.ParseDict(value, described.default_value)
    return inputs


def setting(config: AnyConfig, key: str) -> Any:
    """The value at a key path."""
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return value


def describe(config: AnyConfig, key: str) -> str:
    """The description of a setting."""
    section, _, last = key.rpartition(".")
    owner: Any = type(setting(config, section) if section else config)
    return descriptions(owner)[last]


def parameter_type(value: Any) -> int:
    """KFP's type for a value."""
    by_class = {
        bool: spec.ParameterType.BOOLEAN,
        int: spec.ParameterType.NUMBER_INTEGER,
        float: spec.ParameterType.NUMBER_DOUBLE,
        str: spec.ParameterType.STRING,
    }
    return by_class[type(value)]


def container_executors(pipeline_spec: dict[str, Any]) -> dict[str, str]:
    """Executor labels of the components that run in a container, by the component's name, which is its task's too."""
    executors = pipeline_spec["deploymentSpec"]["executors"]
    labels = {name: component.get("executorLabel") for name, component in pipeline_spec["components"].items()}
    return {name: label for name, label in labels.items() if label and "container" in executors[label]}
