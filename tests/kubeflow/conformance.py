"""Runs a compiled pipeline as Kubeflow does, from its YAML alone, with processes in place of pods.

The part of each program of KFP that it plays is written at its function; the source read is kubeflow/pipelines,
backend/src/v2 (driver, component/launcher_v2.go, metadata, cacheutils), of August 2026. A step's process starts in an
empty folder, finds its input artifacts where the launcher copies them and nothing of the other steps.
"""

import hashlib
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from google.protobuf import json_format, struct_pb2
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2 as spec
from store import Store

LABELS = {"metadata.labels['pipeline/runid']": "run_id"}
"""What the downward API gives a pod of KFP, of what this project asks for."""


class RefusedError(Exception):
    """What KFP's API server or compiler would refuse."""


@dataclass
class TaskRun:
    """How one task went."""

    name: str
    state: str
    """SUCCEEDED, CACHED, FAILED or OMITTED, which is what did not run because another failed."""
    attempts: int = 0
    seconds: float = 0.0
    """Of the last attempt."""
    outputs: dict[str, spec.RuntimeArtifact] = field(default_factory=dict)
    log: Path | None = None
    """Output of the last attempt."""


@dataclass
class Run:
    """A run of a pipeline."""

    id: str
    tasks: dict[str, TaskRun]

    @property
    def succeeded(self) -> bool:
        return all(task.state in ("SUCCEEDED", "CACHED") for task in self.tasks.values())

    def states(self) -> dict[str, str]:
        return {name: task.state for name, task in self.tasks.items()}


@dataclass
class Compiled:
    """The two documents of a compiled pipeline."""

    pipeline: spec.PipelineSpec
    deployment: spec.PipelineDeploymentConfig
    pods: dict[str, kubernetes.KubernetesExecutorConfig]
    """By executor label."""

    def component(self, task: str) -> spec.ComponentSpec:
        return self.pipeline.components[self.pipeline.root.dag.tasks[task].component_ref.name]

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


def refused(compiled: Compiled) -> list[str]:
    """What open-source KFP does not implement (compiler/visitor.go, compiler/argocompiler, driver/resolve.go)."""
    found = []
    for name, task in compiled.pipeline.root.dag.tasks.items():
        component, executor = compiled.component(name), compiled.executor(name)
        kind = executor.WhichOneof("spec")
        if not component.executor_label or kind not in ("container", "importer"):
            found.append(f"{name}: a {kind} executor is not implemented")
        if kind == "container" and executor.container.HasField("lifecycle"):
            found.append(f"{name}: lifecycle hooks are ignored")
        if kind == "container" and not executor.container.command:
            found.append(f"{name}: the launcher needs the command, it does not know the image's own")
        if kind == "importer" and task.trigger_policy.condition:
            found.append(f"{name}: an importer cannot have a condition")
        if task.HasField("artifact_iterator"):
            found.append(f"{name}: artifact iterators are not implemented")
        for key, parameter in task.inputs.parameters.items():
            if parameter.WhichOneof("kind") == "runtime_value":
                if parameter.runtime_value.WhichOneof("value") != "constant":
                    found.append(f"{name}.{key}: only constants are implemented as runtime values")
            elif parameter.WhichOneof("kind") not in ("component_input_parameter", "task_output_parameter"):
                found.append(f"{name}.{key}: this kind of parameter is not implemented")
        for dependency in task.dependent_tasks:
            if dependency not in compiled.pipeline.root.dag.tasks:
                found.append(f"{name}: depends on {dependency}, which is not there")
    return found


class Cluster:
    """Kubeflow's API server, cache and metadata store in memory; artifacts are in a real object store."""

    def __init__(self, store: Store, pipeline_root: str, folder: Path):
        self._store, self._root, self.folder = store, pipeline_root, folder
        self._cache: dict[str, dict[str, spec.RuntimeArtifact]] = {}
        self._artifacts = 0

    def run(self, path: Path, environment: Mapping[str, str] | None = None, **parameters: Any) -> Run:
        """Runs a compiled pipeline to its end.

        Args:
          path: the YAML.
          environment: additional environment variables of every step.
          parameters: run parameters.
        """
        compiled = read(path)
        if found := refused(compiled):
            raise RefusedError("; ".join(found))
        values = run_parameters(compiled.pipeline.root.input_definitions, parameters)
        run = Run(str(uuid.uuid4()), {})
        for name in topological(compiled.pipeline.root.dag.tasks):
            if any(task.state == "FAILED" for task in run.tasks.values()):  # Argo's failFast
                run.tasks[name] = TaskRun(name, "OMITTED")
            else:
                run.tasks[name] = self._run_task(compiled, name, run, values, environment or {})
        return run

    def _run_task(
        self,
        compiled: Compiled,
        name: str,
        run: Run,
        values: Mapping[str, struct_pb2.Value],
        environment: Mapping[str, str],
    ) -> TaskRun:
        """The container driver (driver/container.go), and Argo's retries."""
        task, component = compiled.pipeline.root.dag.tasks[name], compiled.component(name)
        inputs = resolve_inputs(task, run, values)
        if compiled.executor(name).HasField("importer"):
            return self._import(compiled, name)
        container = compiled.executor(name).container
        fingerprint = ""
        if task.caching_options.enable_cache:
            fingerprint = cache_key(inputs, component, container, compiled.pod(name))
            if fingerprint in self._cache:
                return TaskRun(name, "CACHED", outputs=self._cache[fingerprint])
        result = TaskRun(name, "FAILED")
        while result.state == "FAILED" and result.attempts <= task.retry_policy.max_retry_count:
            result.attempts += 1
            launch = self._launch(compiled, name, run, inputs, result, environment)
            if launch is not None:
                result.state, result.outputs = "SUCCEEDED", launch
        if fingerprint and result.state == "SUCCEEDED":
            self._cache[fingerprint] = result.outputs
        return result

    def _import(self, compiled: Compiled, name: str) -> TaskRun:
        """The importer (component/importer_launcher.go): an artifact that is in the store already."""
        importer, [key] = compiled.executor(name).importer, compiled.component(name).output_definitions.artifacts
        artifact = spec.RuntimeArtifact(
            uri=importer.artifact_uri.constant.string_value, type=importer.type_schema, metadata=importer.metadata
        )
        return TaskRun(name, "SUCCEEDED", attempts=1, outputs={key: self._record(key, artifact)})

    def _launch(
        self,
        compiled: Compiled,
        name: str,
        run: Run,
        inputs: spec.ExecutorInput.Inputs,
        result: TaskRun,
        environment: Mapping[str, str],
    ) -> dict[str, spec.RuntimeArtifact] | None:
        """The launcher (component/launcher_v2.go) in a new pod; None when the step failed."""
        pod = self.folder / run.id / f"{name}-{result.attempts}"
        for folder in ("work", "tmp", "home"):
            (pod / folder).mkdir(parents=True)
        executor_input = spec.ExecutorInput(inputs=inputs)
        task_root = f"{self._root}/{compiled.pipeline.pipeline_info.name}/{run.id}/{name}/{uuid.uuid4()}"
        provision_outputs(executor_input, compiled.component(name), task_root, pod)
        for artifacts in inputs.artifacts.values():
            for artifact in artifacts.artifacts:
                self._store.download(artifact.uri, local_path(artifact.uri, pod))
        for artifacts in executor_input.outputs.artifacts.values():
            local_path(artifacts.artifacts[0].uri, pod).parent.mkdir(parents=True, exist_ok=True)
        container = compiled.executor(name).container
        # compileCmdAndArgs: {{$}} is ExecutorInput as JSON.
        json_input = json_format.MessageToJson(executor_input, indent=None)
        command = [word.replace("{{$}}", json_input) for word in [*container.command, *container.args]]
        result.log = pod / "log"
        started = time.monotonic()
        with result.log.open("wb") as output:
            status = subprocess.run(
                command,
                cwd=pod / "work",
                env=pod_environment(compiled.pod(name), run, pod)
                | {one.name: one.value for one in container.env}
                | dict(environment),
                stdout=output,
                stderr=subprocess.STDOUT,
            ).returncode
        result.seconds = time.monotonic() - started
        if status:
            return None
        return self._publish(executor_input, pod)

    def _publish(self, executor_input: spec.ExecutorInput, pod: Path) -> dict[str, spec.RuntimeArtifact]:
        """Uploads and records the outputs (uploadOutputArtifacts): ExecutorOutput must be well-formed."""
        reported = spec.ExecutorOutput()
        if (path := Path(executor_input.outputs.output_file)).exists():
            json_format.Parse(path.read_text(encoding="utf-8"), reported)
        published = {}
        for key, artifacts in executor_input.outputs.artifacts.items():
            artifact = artifacts.artifacts[0]
            if key in reported.artifacts:
                artifact.uri = reported.artifacts[key].artifacts[0].uri or artifact.uri
                artifact.metadata.update(dict(reported.artifacts[key].artifacts[0].metadata))
            if not artifact.uri.startswith(f"{self._root}/"):
                raise RefusedError(f"{key}: {artifact.uri} is not in the bucket")
            if (local := local_path(artifact.uri, pod)).exists():
                self._store.upload(local, artifact.uri)
            if key != "executor-logs":
                published[key] = self._record(key, artifact)
        return published

    def _record(self, key: str, artifact: spec.RuntimeArtifact) -> spec.RuntimeArtifact:
        """What comes back from the metadata store (metadata/converter.go): an ID, and metadata as custom properties."""
        self._artifacts += 1
        recorded = spec.RuntimeArtifact(name=str(self._artifacts), uri=artifact.uri, type=artifact.type)
        recorded.metadata.update({"display_name": key, "store_session_info": "{}"})
        for name, value in artifact.metadata.fields.items():
            kind = value.WhichOneof("kind")
            if kind in ("string_value", "number_value"):
                recorded.metadata.fields[name].CopyFrom(value)
            elif kind == "bool_value":
                recorded.metadata.fields[name].number_value = value.bool_value
            elif kind in ("struct_value", "list_value"):
                wrapped = {kind.removesuffix("_value"): json_format.MessageToDict(value)}
                recorded.metadata.update({name: wrapped})
            else:
                raise RefusedError(f"{key}: metadata {name} is null")
        return recorded


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
    """The tasks, each after those it depends on; by name among equals."""
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


def resolve_inputs(
    task: spec.PipelineTaskSpec, run: Run, values: Mapping[str, struct_pb2.Value]
) -> spec.ExecutorInput.Inputs:
    """Parameters and artifacts from the spec (driver/resolve.go)."""
    inputs = spec.ExecutorInput.Inputs()
    for name, parameter in task.inputs.parameters.items():
        if parameter.WhichOneof("kind") == "component_input_parameter":
            inputs.parameter_values[name].CopyFrom(values[parameter.component_input_parameter])
            continue
        constant = parameter.runtime_value.constant
        if constant.string_value == "{{$.pipeline_job_uuid}}":
            constant = struct_pb2.Value(string_value=run.id)
        inputs.parameter_values[name].CopyFrom(constant)
    for name, artifact in task.inputs.artifacts.items():
        source = artifact.task_output_artifact
        produced = run.tasks[source.producer_task].outputs[source.output_artifact_key]
        inputs.artifacts[name].artifacts.append(produced)
    return inputs


def provision_outputs(
    executor_input: spec.ExecutorInput, component: spec.ComponentSpec, task_root: str, pod: Path
) -> None:
    """URIs of the outputs (provisionOutputs in driver/driver.go), with the output for the step's log."""
    for key, output in component.output_definitions.artifacts.items():
        executor_input.outputs.artifacts[key].artifacts.add(
            name=key, uri=f"{task_root}/{key}", type=output.artifact_type, metadata=output.metadata
        )
    executor_input.outputs.artifacts["executor-logs"].artifacts.add(
        name="executor-logs",
        uri=f"{task_root}/executor-logs",
        type=spec.ArtifactTypeSchema(schema_title="system.Artifact"),
    )
    executor_input.outputs.output_file = str(local_path(f"{task_root}/output_metadata.json", pod))


def local_path(uri: str, pod: Path) -> Path:
    """LocalPathForURI in component/launcher_v2.go, below the pod's own root."""
    return pod / "s3" / uri.removeprefix("s3://")


def pod_environment(pod_config: kubernetes.KubernetesExecutorConfig, run: Run, pod: Path) -> dict[str, str]:
    """A bare environment: nothing of the caller's but the interpreter."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(pod / "home"),
        "TMPDIR": str(pod / "tmp"),
        "TFX_VISION_ARTIFACT_ROOT": str(pod),
        "PYTHONUNBUFFERED": "1",
    }
    for one in pod_config.field_path_as_env:
        environment[one.name] = {"run_id": run.id}[LABELS[one.field_path]]
    return environment


def cache_key(
    inputs: spec.ExecutorInput.Inputs,
    component: spec.ComponentSpec,
    container: spec.PipelineDeploymentConfig.PipelineContainerSpec,
    pod: kubernetes.KubernetesExecutorConfig,
) -> str:
    """The fingerprint (cacheutils/cache.go): names of artifacts, not their URIs; command and image; claims."""
    key = {
        "inputArtifactNames": {name: [a.name for a in found.artifacts] for name, found in inputs.artifacts.items()},
        "inputParameterValues": {
            name: json_format.MessageToDict(value) for name, value in inputs.parameter_values.items()
        },
        "outputArtifactsSpec": {
            name: json_format.MessageToDict(output) for name, output in component.output_definitions.artifacts.items()
        },
        "image": container.image,
        "cmdArgs": [*container.command, *container.args],
        "pvcNames": sorted({mount.constant for mount in pod.pvc_mount}),
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
