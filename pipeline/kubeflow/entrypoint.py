"""What a step's container runs on Kubeflow: one TFX executor, on local copies of its artifacts.

KFP's launcher has copied every input artifact to a local path before this starts, and uploads what is at the outputs'
local paths when it ends, so any store that KFP supports works although TFX cannot open its URIs. The executor sees the
local paths; what is reported back, in ExecutorOutput, has the store's URIs again.

TFX's own entrypoint imports the Evaluator, and through `tfx.components` every other component, whatever the step is.
This one imports the step's executor and nothing else.
"""

import argparse
import importlib
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

from pipeline.kubeflow import artifact_types, parameters
from pipeline.kubeflow.deferred import defer_heavy_packages, defer_tensorflow

log = logging.getLogger("tfx_vision.entrypoint")

MOUNTS = {"s3://": "/s3/", "minio://": "/minio/", "gs://": "/gcs/"}
"""Where KFP's launcher keeps the artifacts of a store (LocalPathForURI in its launcher_v2.go)."""
ARTIFACT_ROOT = "TFX_VISION_ARTIFACT_ROOT"
"""Environment variable with a folder that stands in for /, for the conformance run: it cannot write to /s3."""
RUN_ID = "TFX_VISION_RUN_ID"
"""Environment variable with the run's identity, which the platform spec sets."""
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
    options, beam_arguments = parser.parse_known_args(argv)
    run(
        options.executor_class_path,
        json_format.Parse(options.json_serialized_invocation_args, spec.ExecutorInput(), ignore_unknown_fields=True),
        json_format.Parse(options.json_serialized_inputs_spec_args, spec.ComponentInputsSpec()),
        options.run_parameter,
        beam_arguments,
    )


def terminate(signum: int, frame: Any) -> NoReturn:
    """Leaves through the executor, so that its `finally` and context managers run; Python's default would not."""
    sys.exit(TERMINATED)


def run(
    executor_path: str,
    executor_input: spec.ExecutorInput,
    inputs_spec: spec.ComponentInputsSpec,
    run_parameters: list[str],
    beam_arguments: list[str],
) -> None:
    """Runs an executor and writes ExecutorOutput.

    Args:
      executor_path: import path of the executor's class.
      executor_input: what KFP gives the step: artifacts with the store's URIs, and parameters.
      inputs_spec: types of the parameters.
      run_parameters: NAME=PROPERTY:KEY.PATH of each run parameter among them.
      beam_arguments: Beam's arguments.
    """
    uris = dict(localize(executor_input))
    load_narrowly(executor_path)
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

    module, _, name = executor_path.rpartition(".")
    executor_class = getattr(importlib.import_module(module), name)
    with tempfile.TemporaryDirectory() as scratch:
        executor = executor_class(context(executor_class, beam_arguments, scratch))
        log.info("running %s", executor_path)
        executor.Do(inputs, outputs, properties)
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


def load_narrowly(executor_path: str) -> None:
    """Sees to it that importing the executor imports what it uses and little else."""
    if executor_path.startswith(OWN):
        defer_tensorflow()
    defer_heavy_packages()


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
