"""Runs a compiled pipeline as Kubeflow does, from its YAML alone, with processes or containers in place of pods.

The part of each program of KFP that it plays is written at its function; the source read is kubeflow/pipelines,
backend/src/v2 (driver, component/launcher_v2.go, metadata, cacheutils), of August 2026. A step's process starts in an
empty folder, finds its input artifacts where the launcher copies them and nothing of the other steps.
"""

import hashlib
import json
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compiled import Compiled, RefusedError, is_exit_task, read, refused, run_parameters, topological
from google.protobuf import json_format, struct_pb2
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2 as spec
from pods import Processes
from store import Store

Values = Mapping[str, struct_pb2.Value]

NAMESPACE = "kubeflow"
"""Of the runs."""


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
    environment: dict[str, str]
    """Additional environment variables of every step."""

    @property
    def succeeded(self) -> bool:
        return all(task.state in ("SUCCEEDED", "CACHED") for task in self.tasks.values())

    def states(self) -> dict[str, str]:
        return {name: task.state for name, task in self.tasks.items()}


class Cluster:
    """Kubeflow's API server, cache and metadata store in memory; artifacts are in a real object store."""

    def __init__(self, store: Store, pipeline_root: str, folder: Path, pods: Any = None):
        self._store, self._root, self.folder, self._pods = store, pipeline_root, folder, pods or Processes()
        self._cache: dict[str, dict[str, spec.RuntimeArtifact]] = {}
        self._artifacts = 0
        self.watch: Callable[[str, int, subprocess.Popen, Path], None] | None = None
        """Called with every step's task, attempt, process and folder once it runs."""

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
        run = Run(str(uuid.uuid4()), {}, dict(environment or {}))
        self._run_dag(compiled, compiled.pipeline.root.dag, run, values)
        return run

    def _run_dag(self, compiled: Compiled, dag: spec.DagSpec, run: Run, values: Values) -> str:
        """The tasks of a DAG, each followed by its exit task, which Argo has as a hook; returns the DAG's state."""
        failed = False
        for name in topological(dag.tasks):
            task, component = dag.tasks[name], compiled.component(name)
            if failed:  # Argo's failFast
                run.tasks[name] = TaskRun(name, "OMITTED")
                continue
            if component.HasField("dag"):
                inner = dict(resolve_inputs(task, run, values).parameter_values)
                state = self._run_dag(compiled, component.dag, run, inner)
                run.tasks[name] = TaskRun(name, "SUCCEEDED" if state == "COMPLETE" else "FAILED")
            else:
                run.tasks[name] = self._run_task(compiled, name, run, values)
            failed = run.tasks[name].state == "FAILED"
            for hook, exit_task in dag.tasks.items():
                if is_exit_task(exit_task) and name in exit_task.dependent_tasks:
                    run.tasks[hook] = self._run_task(compiled, hook, run, values)
        return "FAILED" if failed else "COMPLETE"

    def _run_task(self, compiled: Compiled, name: str, run: Run, values: Values) -> TaskRun:
        """The container driver (driver/container.go), and Argo's retries."""
        task, component = compiled.tasks[name], compiled.component(name)
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
        executor_input = spec.ExecutorInput(inputs=inputs)
        # Once for all attempts: Argo retries the launcher's pod, the driver does not run again.
        task_root = f"{self._root}/{compiled.pipeline.pipeline_info.name}/{run.id}/{name}/{uuid.uuid4()}"
        provision_outputs(executor_input, component, task_root)
        while result.state == "FAILED" and result.attempts <= task.retry_policy.max_retry_count:
            result.attempts += 1
            launch = self._launch(compiled, name, run, executor_input, result)
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
        self, compiled: Compiled, name: str, run: Run, executor_input: spec.ExecutorInput, result: TaskRun
    ) -> dict[str, spec.RuntimeArtifact] | None:
        """The launcher (component/launcher_v2.go) in a new pod; None when the step failed."""
        pod = self.folder / run.id / f"{name}-{result.attempts}"
        for folder in ("work", "tmp", "home", "s3"):
            (pod / folder).mkdir(parents=True)
        for artifacts in executor_input.inputs.artifacts.values():
            for artifact in artifacts.artifacts:
                self._store.download(artifact.uri, local_path(artifact.uri, pod))
        for artifacts in executor_input.outputs.artifacts.values():
            local_path(artifacts.artifacts[0].uri, pod).parent.mkdir(parents=True, exist_ok=True)
        reported = executor_input.outputs.output_file
        local_input = spec.ExecutorInput()
        local_input.CopyFrom(executor_input)
        local_input.outputs.output_file = str(local_path(reported, Path(self._pods.root(pod) or "/")))
        container, pod_config = compiled.executor(name).container, compiled.pod(name)
        command = [substituted(word, local_input) for word in [*container.command, *container.args]]
        environment = {one.name: one.value for one in container.env} | run.environment
        environment |= {one.name: downward_api(pod, run)[one.field_path] for one in pod_config.field_path_as_env}
        result.log = pod / "log"
        started = time.monotonic()
        with result.log.open("wb") as output:
            process = self._pods.start(command, pod, environment, container, pod_config, output)
            if self.watch is not None:
                self.watch(name, result.attempts, process, pod)
            status = process.wait()
        result.seconds = time.monotonic() - started
        if status:
            return None
        return self._publish(executor_input, pod, local_path(reported, pod))

    def _publish(
        self, executor_input: spec.ExecutorInput, pod: Path, output_file: Path
    ) -> dict[str, spec.RuntimeArtifact]:
        """Uploads and records the outputs (uploadOutputArtifacts): ExecutorOutput must be well-formed."""
        reported = spec.ExecutorOutput()
        if output_file.exists():
            json_format.Parse(output_file.read_text(encoding="utf-8"), reported)
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


def downward_api(pod: Path, run: Run) -> dict[str, str]:
    """What Kubernetes tells a pod of KFP about itself, of what this project asks for."""
    return {
        "metadata.labels['pipeline/runid']": run.id,
        "metadata.name": pod.name.lower(),
        "metadata.uid": str(uuid.uuid5(uuid.NAMESPACE_URL, str(pod))),
        "metadata.namespace": NAMESPACE,
    }


def resolve_inputs(task: spec.PipelineTaskSpec, run: Run, values: Values) -> spec.ExecutorInput.Inputs:
    """Parameters and artifacts from the spec (driver/resolve.go)."""
    inputs = spec.ExecutorInput.Inputs()
    for name, parameter in task.inputs.parameters.items():
        inputs.parameter_values[name].CopyFrom(resolve_parameter(parameter, run, values))
    for name, artifact in task.inputs.artifacts.items():
        source = artifact.task_output_artifact
        produced = run.tasks[source.producer_task].outputs[source.output_artifact_key]
        inputs.artifacts[name].artifacts.append(produced)
    return inputs


def resolve_parameter(parameter: Any, run: Run, values: Values) -> struct_pb2.Value:
    kind = parameter.WhichOneof("kind")
    if kind == "component_input_parameter":
        return values[parameter.component_input_parameter]
    if kind == "task_final_status":
        producer = parameter.task_final_status.producer_task
        state = "COMPLETE" if run.tasks[producer].state in ("SUCCEEDED", "CACHED") else "FAILED"
        status = {"state": state, "pipelineTaskName": producer, "pipelineJobResourceName": run.id, "error": {}}
        return json_format.ParseDict(status, struct_pb2.Value())
    constant = parameter.runtime_value.constant
    return struct_pb2.Value(string_value=run.id) if constant.string_value == "{{$.pipeline_job_uuid}}" else constant


def substituted(word: str, executor_input: spec.ExecutorInput) -> str:
    """Placeholders in the command (getPlaceholders in the launcher): {{$}} is ExecutorInput as JSON."""
    for name, value in executor_input.inputs.parameter_values.items():
        simple = value.WhichOneof("kind") == "string_value"
        text = value.string_value if simple else json.dumps(json_format.MessageToDict(value))
        word = word.replace(f"{{{{$.inputs.parameters['{name}']}}}}", text)
    return word.replace("{{$}}", json_format.MessageToJson(executor_input, indent=None))


def provision_outputs(executor_input: spec.ExecutorInput, component: spec.ComponentSpec, task_root: str) -> None:
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
    executor_input.outputs.output_file = f"{task_root}/output_metadata.json"


def local_path(uri: str, pod: Path) -> Path:
    """LocalPathForURI in component/launcher_v2.go, below the pod's own root."""
    return pod / "s3" / uri.removeprefix("s3://")


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
