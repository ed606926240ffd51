"""A compiled pipeline, read as Kubeflow's API server reads it, and what open-source Kubeflow would refuse of it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format, struct_pb2
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2 as spec


class RefusedError(Exception):
    """What KFP's API server or compiler would refuse."""


@dataclass
class Compiled:
    """The two documents of a compiled pipeline."""

    pipeline: spec.PipelineSpec
    deployment: spec.PipelineDeploymentConfig
    pods: dict[str, kubernetes.KubernetesExecutorConfig]
    """By executor label."""

    def dags(self) -> list[spec.DagSpec]:
        """The root's, and those of the components that are one."""
        return [self.pipeline.root.dag] + [one.dag for one in self.pipeline.components.values() if one.HasField("dag")]

    @property
    def tasks(self) -> dict[str, spec.PipelineTaskSpec]:
        """The tasks of all DAGs; their names do not repeat."""
        return {name: task for dag in self.dags() for name, task in dag.tasks.items()}

    def component(self, task: str) -> spec.ComponentSpec:
        return self.pipeline.components[self.tasks[task].component_ref.name]

    def executor(self, task: str) -> spec.PipelineDeploymentConfig.ExecutorSpec:
        return self.deployment.executors[self.component(task).executor_label]

    def pod(self, task: str) -> kubernetes.KubernetesExecutorConfig:
        return self.pods.get(self.component(task).executor_label, kubernetes.KubernetesExecutorConfig())


def read(path: Path) -> Compiled:
    """Reads the YAML as the API server does: unknown fields are refused (apiserver/template/v2_template.go)."""
    pipeline, platform = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    if pipeline["schemaVersion"] != "2.1.0":
        raise RefusedError(f"schema version {pipeline['schemaVersion']}")
    proto = json_format.ParseDict(pipeline, spec.PipelineSpec())
    json_format.ParseDict(platform, spec.PlatformSpec())
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return Compiled(
        proto,
        json_format.ParseDict(pipeline["deploymentSpec"], spec.PipelineDeploymentConfig()),
        {name: json_format.ParseDict(pod, kubernetes.KubernetesExecutorConfig()) for name, pod in pods.items()},
    )


def keep_tasks(path: Path, names: Collection[str]) -> None:
    """Leaves only some tasks in a compiled pipeline without an exit handler, for a shorter run."""
    pipeline, platform = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    tasks = pipeline["root"]["dag"]["tasks"]
    for name in set(tasks) - set(names):
        del tasks[name]
    for task in tasks.values():
        task["dependentTasks"] = [name for name in task.get("dependentTasks", []) if name in tasks]
    path.write_text(yaml.safe_dump_all([pipeline, platform]), encoding="utf-8")


def refused(compiled: Compiled) -> list[str]:
    """What open-source KFP does not implement (compiler/visitor.go, compiler/argocompiler, driver/resolve.go)."""
    return [finding for dag in compiled.dags() for finding in refused_tasks(compiled, dag)]


def refused_tasks(compiled: Compiled, dag: spec.DagSpec) -> Iterator[str]:
    if all(is_exit_task(task) for task in dag.tasks.values()):
        yield "a DAG must contain one or more tasks that are no exit tasks"
    for name, task in dag.tasks.items():
        if compiled.component(name).WhichOneof("implementation") != "dag":
            yield from refused_executor(compiled, name, task)
        if task.HasField("artifact_iterator"):
            yield f"{name}: artifact iterators are not implemented"
        for key, parameter in task.inputs.parameters.items():
            kind = parameter.WhichOneof("kind")
            if kind == "runtime_value":
                if parameter.runtime_value.WhichOneof("value") != "constant":
                    yield f"{name}.{key}: only constants are implemented as runtime values"
            elif kind not in ("component_input_parameter", "task_output_parameter", "task_final_status"):
                yield f"{name}.{key}: this kind of parameter is not implemented"
            elif kind == "task_final_status" and not is_exit_task(task):
                yield f"{name}.{key}: only an exit task is told a final status"
        for dependency in task.dependent_tasks:
            if dependency not in dag.tasks:
                yield f"{name}: depends on {dependency}, which is not there"
        if is_exit_task(task) and len(task.dependent_tasks) != 1:
            yield f"{name}: an exit task is the hook of the one task it depends on"


def refused_executor(compiled: Compiled, name: str, task: spec.PipelineTaskSpec) -> Iterator[str]:
    executor = compiled.executor(name)
    kind = executor.WhichOneof("spec")
    if kind not in ("container", "importer"):
        yield f"{name}: a {kind} executor is not implemented"
    if kind == "container" and executor.container.HasField("lifecycle"):
        yield f"{name}: lifecycle hooks are ignored"
    if kind == "container" and not executor.container.command:
        yield f"{name}: the launcher needs the command, it does not know the image's own"
    if kind == "importer" and task.trigger_policy.condition:
        yield f"{name}: an importer cannot have a condition"


def is_exit_task(task: spec.PipelineTaskSpec) -> bool:
    return task.trigger_policy.strategy == spec.PipelineTaskSpec.TriggerPolicy.ALL_UPSTREAM_TASKS_COMPLETED


def run_parameters(definitions: spec.ComponentInputsSpec, given: Mapping[str, Any]) -> dict[str, struct_pb2.Value]:
    """Defaults and what the run gives, checked as the API server does (validatePipelineJobInputs)."""
    classes: dict[int, type | tuple[type, ...]] = {
        spec.ParameterType.STRING: str,
        spec.ParameterType.NUMBER_INTEGER: int,
        spec.ParameterType.NUMBER_DOUBLE: (int, float),
        spec.ParameterType.BOOLEAN: bool,
    }
    values = {}
    for name, value in given.items():
        if name not in definitions.parameters:
            raise RefusedError(f"parameter {name} is not one of {', '.join(sorted(definitions.parameters))}")
        if not isinstance(value, classes[definitions.parameters[name].parameter_type]):
            raise RefusedError(f"parameter {name}: {value!r} has the wrong type")
        values[name] = json_format.ParseDict(value, struct_pb2.Value())
    for name, definition in definitions.parameters.items():
        if name not in values:
            if not definition.HasField("default_value"):
                raise RefusedError(f"parameter {name} is required")
            values[name] = definition.default_value
    return values


def topological(tasks: Mapping[str, spec.PipelineTaskSpec]) -> Iterator[str]:
    """The tasks, each after those it depends on; by name among equals; without the exit tasks."""
    tasks = {name: task for name, task in tasks.items() if not is_exit_task(task)}
    done: set[str] = set()
    while len(done) < len(tasks):
        ready = sorted(name for name in tasks if name not in done and done.issuperset(dependencies(tasks[name])))
        if not ready:
            raise RefusedError("the tasks depend on one another in a circle")
        yield from ready
        done.update(ready)


def dependencies(task: spec.PipelineTaskSpec) -> set[str]:
    """Those it names, and the producers of its inputs."""
    return {*task.dependent_tasks} | {a.task_output_artifact.producer_task for a in task.inputs.artifacts.values()}
