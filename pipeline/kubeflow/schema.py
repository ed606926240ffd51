"""The schema that a pipeline's runs on Kubeflow proposed last, from the store of their artifacts."""

from typing import Any, NamedTuple

import kfp

from components.image_example_gen.storage import StorageError, below, open_bytes, scheme_of, why
from pipeline.kubeflow import client as kubeflow

STEP, OUTPUT, FILE = "SchemaGen", "schema", "schema.pbtxt"


class Found(NamedTuple):
    """A schema and where it is from."""

    text: str
    """Of the protocol buffer."""
    uri: str
    """Of the file."""
    run: str
    """Identity of the run that wrote it."""
    newer: int
    """Runs since, which have none of their own: their step was taken from the cache, or has not ended."""


def newest_schema(client: kfp.Client, name: str) -> Found:
    """Looks for the schema of the newest run that wrote one.

    The API does not tell artifacts' URIs: in 2.x the outputs in a run's details stay empty (kubeflow/pipelines#9858).
    They are looked for where its driver has every step put them, ROOT/PIPELINE/RUN/STEP/UUID/OUTPUT.

    Raises:
      KubeflowError: there is no pipeline of that name, no run, no schema in its runs' folders, or the store cannot be
        read.
    """
    pipeline = kubeflow.pipeline_id(client, name)
    experiment = kubeflow.experiment_id(client, name)
    runs = kubeflow.every(client.list_runs, "runs", experiment_id=experiment, sort_by="created_at desc")
    if not runs:
        raise kubeflow.KubeflowError(f"{name} has no run yet; `tfx run create` starts one")
    specs: dict[str, Any] = {}
    for newer, run in enumerate(runs):
        version = run.pipeline_version_reference.pipeline_version_id
        if version not in specs:
            specs[version] = client.get_pipeline_version(pipeline, version).pipeline_spec
        folder = f"{root_of(run, specs[version])}/{run.run_id}/{STEP}/"
        try:
            files = [one for one in below(folder) if one.path.endswith(f"/{OUTPUT}/{FILE}")]
            if files:
                uri = max(files, key=lambda one: one.modified).path  # of a step that was tried again, the last
                with open_bytes(uri) as stream:
                    return Found(stream.read().decode(), uri, run.run_id, newer)
        except StorageError as error:
            raise kubeflow.KubeflowError(str(error)) from error
        except Exception as error:  # each file system has its own
            raise kubeflow.KubeflowError(f"{folder} cannot be read: {why(error)}") from error
    raise kubeflow.KubeflowError(f"no run of {name} has written a schema yet; the newest would have it below {folder}")


def root_of(run: Any, pipeline_spec: dict[str, Any]) -> str:
    """The folder of a pipeline's runs, as this machine reads it.

    Raises:
      KubeflowError: it is the cluster's own setting, which the API does not tell.
    """
    compiled = pipeline_spec.get("pipeline_spec", pipeline_spec)
    root = (run.runtime_config and run.runtime_config.pipeline_root) or compiled.get("defaultPipelineRoot")
    if not root:
        raise kubeflow.KubeflowError(
            "the pipeline was compiled without kubeflow.pipeline_root, and the API does not tell the cluster's own; "
            "set it, or open the run in Kubeflow's pages"
        )
    if scheme_of(root) == "minio":  # which is an S3 store; AWS_ENDPOINT_URL says where
        root = "s3" + root.removeprefix("minio")
    return f"{root.rstrip('/')}/{compiled['pipelineInfo']['name']}"
