"""What a step's container runs on Kubeflow: one TFX executor, on local copies of its artifacts.

KFP's launcher has copied every input artifact to a local path before this starts, and uploads what is at the outputs'
local paths when it ends, so any store that KFP supports works although TFX cannot open its URIs. The executor sees the
local paths; what is reported back, in ExecutorOutput, has the store's URIs again.

TFX's own entrypoint imports the Evaluator, and through `tfx.components` every other component, whatever the step is.
This one imports the step's executor and nothing else.
"""

import argparse
import contextlib
import importlib
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__":
    # Before kfp is imported: the runtime part of the SDK is enough for a step, and needs no Kubernetes client.
    os.environ["_KFP_RUNTIME"] = "true"

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as spec

from pipeline.deferred import defer_heavy_packages, defer_tensorflow
from pipeline.imports import leave_out_unused, uncollected
from pipeline.kubeflow import artifact_types, parameters
from pipeline.kubeflow.environment import ARTIFACT_ROOT, RUN_ID

log = logging.getLogger("tfx_vision.entrypoint")

MOUNTS = {"s3://": "/s3/", "minio://": "/minio/", "gs://": "/gcs/"}
"""Where KFP's launcher keeps the artifacts of a store (LocalPathForURI in its launcher_v2.go)."""
OWN = "components."
"""Where executors are that import TensorFlow themselves if they need it."""
TERMINATED = 128 + signal.SIGTERM


def main(argv: list[str] | None = None) -> None:
    """Runs the executor that the arguments name; they are TFX's own, and `--run_parameter` as `parameters` has it."""
    signal.signal(signal.SIGTERM, terminate)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", required=True)
    parser.add_argument("--run_parameter", action="append", default=[])
    parser.add_argument("--shared_folder", type=Path, help="where pods that work for this step see its artifacts")
    parser.add_argument("--training_job", type=json.loads, help="the TFJob whose workers run the executor")
    options, beam_arguments = parser.parse_known_args(argv)
    request = json_format.Parse(
        options.json_serialized_invocation_args, spec.ExecutorInput(), ignore_unknown_fields=True
    )
    inputs_spec = json_format.Parse(options.json_serialized_inputs_spec_args, spec.ComponentInputsSpec())
    with contextlib.ExitStack() as staging:
        folder = options.shared_folder and options.shared_folder / os.environ[RUN_ID]
        if folder:
            from pipeline.kubeflow.shared_volume import staged

            request = staging.enter_context(staged(request, folder, local_path))
        if options.training_job:
            hand_over(options, request)
        else:
            run(options.executor_class_path, request, inputs_spec, options.run_parameter, beam_arguments, folder)


def hand_over(options: argparse.Namespace, request: spec.ExecutorInput) -> None:
    """Has a TFJob's workers run the executor, each by this entrypoint."""
    from pipeline.kubeflow import training_job

    arguments = ["--executor_class_path", options.executor_class_path]
    arguments += ["--json_serialized_invocation_args", json_format.MessageToJson(request, indent=None)]
    arguments += ["--json_serialized_inputs_spec_args", options.json_serialized_inputs_spec_args]
    arguments += [word for parameter in options.run_parameter for word in ("--run_parameter", parameter)]
    try:
        training_job.run(options.training_job, options.shared_folder.name, arguments)
    except training_job.TrainingJobError as error:
        sys.exit(f"training: {error}")


def terminate(signum: int, frame: Any) -> NoReturn:
    """Leaves through the executor, so that its `finally` and context managers run; Python's default would not."""
    sys.exit(TERMINATED)


def run(
    executor_path: str,
    executor_input: spec.ExecutorInput,
    inputs_spec: spec.ComponentInputsSpec,
    run_parameters: list[str],
    beam_arguments: list[str],
    scratch_parent: Path | None = None,
) -> None:
    """Runs an executor and writes ExecutorOutput.

    Args:
      executor_path: import path of the executor's class.
      executor_input: what KFP gives the step: artifacts with the store's URIs, and parameters.
      inputs_spec: types of the parameters.
      run_parameters: NAME=PROPERTY:KEY.PATH of each run parameter among them.
      beam_arguments: Beam's arguments.
      scratch_parent: where temporary files go that Beam's workers have to see; by default this pod's own.
    """
    uris = dict(localize(executor_input))
    with uncollected():
        executor_class = load(executor_path)
        from tfx.orchestration.kubeflow.v2 import compiler_utils
        from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils as tfx_utils

    compiler_utils.TITLE_TO_CLASS_PATH.update(artifact_types.CLASSES)
    names: dict[int, str] = {}
    inputs = tfx_utils.parse_raw_artifact_dict(executor_input.inputs.artifacts, names)
    outputs = tfx_utils.parse_raw_artifact_dict(executor_input.outputs.artifacts, names)
    properties = tfx_utils.parse_execution_properties(executor_input.inputs.parameter_values, {}, inputs_spec)
    parameters.apply(run_parameters, properties)
    for artifacts in outputs.values():
        for artifact in artifacts:
            os.makedirs(artifact.uri, exist_ok=True)

    with tempfile.TemporaryDirectory(dir=scratch_parent) as scratch:
        executor = executor_class(context(executor_class, beam_arguments, scratch))
        log.info("running %s", executor_path)
        executor.Do(inputs, outputs, properties)
    if not is_chief():
        return
    if "blessing" in outputs:  # it names the models by numbers that only this process knows
        tfx_utils.refactor_model_blessing(outputs["blessing"][0], names)
    result = spec.ExecutorOutput()
    for key, artifacts in tfx_utils.translate_executor_output(outputs, names).items():
        result.artifacts[key].CopyFrom(artifacts)
    write_output(result, uris, executor_input.outputs.output_file)


def localize(executor_input: spec.ExecutorInput) -> Iterator[tuple[str, str]]:
    """Replaces the artifacts' URIs by the launcher's local paths, in place.

    Yields:
      (local path, URI) of each artifact.
    """
    # The launcher may add an output for the step's log; it belongs to the launcher, and TFX has no class for it.
    for key, artifacts in list(executor_input.outputs.artifacts.items()):
        if any(artifact.type.schema_title.startswith("system.") for artifact in artifacts.artifacts):
            del executor_input.outputs.artifacts[key]
    for by_key in (executor_input.inputs.artifacts, executor_input.outputs.artifacts):
        for artifacts in by_key.values():
            for artifact in artifacts.artifacts:
                local, uri = artifact.custom_path or local_path(artifact.uri), artifact.uri
                artifact.name = artifact.name or uri
                artifact.uri = local
                yield local, uri


def local_path(uri: str) -> str:
    """Where KFP's launcher keeps an artifact.

    Raises:
      ValueError: the URI is of a store that KFP's launcher does not copy from.
    """
    for scheme, mount in MOUNTS.items():
        if uri.startswith(scheme):
            return os.environ.get(ARTIFACT_ROOT, "") + mount + uri.removeprefix(scheme)
    raise ValueError(f"{uri} is in none of the stores that Kubeflow copies artifacts from: {', '.join(MOUNTS)}")


def is_chief() -> bool:
    """Whether this process reports the outputs: alone it does, and of a TFJob's workers the first."""
    return json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {}).get("index", 0) == 0


def load(executor_path: str) -> Any:
    """Imports an executor, what it uses and little else.

    Returns:
      The executor's class.
    """
    leave_out_unused()
    if executor_path.startswith(OWN):
        defer_tensorflow()
    defer_heavy_packages()
    module, _, name = executor_path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def context(executor_class: Any, beam_arguments: list[str], scratch: str) -> Any:
    """The context that an executor is made with."""
    own = {"tmp_dir": scratch, "unique_id": "step", "pipeline_run_id": os.environ.get(RUN_ID, "")}
    beam = sys.modules.get("tfx.dsl.components.base.base_beam_executor")
    if beam and issubclass(executor_class, beam.BaseBeamExecutor):
        return beam.BaseBeamExecutor.Context(beam_pipeline_args=beam_arguments, **own)
    return executor_class.Context(extra_flags=beam_arguments, **own)


def write_output(result: spec.ExecutorOutput, uris: Mapping[str, str], path: str) -> None:
    """Writes ExecutorOutput, local paths replaced by the URIs they stand for."""
    for artifacts in result.artifacts.values():
        for artifact in artifacts.artifacts:
            artifact.uri = store_uri(artifact.uri, uris)
            for key, value in list(artifact.metadata.fields.items()):
                if value.WhichOneof("kind") == "null_value":  # KFP refuses it
                    del artifact.metadata.fields[key]
                elif value.WhichOneof("kind") == "string_value":
                    value.string_value = store_uri(value.string_value, uris)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_text(json_format.MessageToJson(result), encoding="utf-8")


def store_uri(text: str, uris: Mapping[str, str]) -> str:
    """The URI of an artifact's local path, or of a path in it; any other text as it is."""
    for local, uri in uris.items():
        if text == local or text.startswith(f"{local}/"):
            return uri + text.removeprefix(local)
    return text


if __name__ == "__main__":
    main()
