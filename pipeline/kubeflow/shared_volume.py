"""A step's artifacts on a volume that other pods see too.

KFP's launcher copies the input artifacts into the step's own pod and uploads the outputs from there. Pods that work for
the step, a TFJob's workers or Beam's on Flink, find them in a folder of the shared volume instead.
"""

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from kfp.pipeline_spec import pipeline_spec_pb2 as spec

log = logging.getLogger("tfx_vision.entrypoint")

OUTPUTS = "outputs"


@contextlib.contextmanager
def staged(
    executor_input: spec.ExecutorInput, folder: Path, local_path: Callable[[str], str]
) -> Iterator[spec.ExecutorInput]:
    """Copies a step's inputs to a folder and, at the end of the block, its outputs from there to where they belong.

    What is in `inputs` and `outputs` of the folder is removed at the end; the folder itself only after success, so that
    checkpoints in it outlive a failure.

    Args:
      executor_input: what KFP gives the step.
      folder: a folder of the shared volume for this step of this run; what an earlier try left there is replaced.
      local_path: tells where the launcher keeps an artifact of a URI.

    Yields:
      The same, each artifact's `custom_path` and the output file in the folder.
    """
    result = spec.ExecutorInput()
    result.CopyFrom(executor_input)
    inputs, outputs = folder / "inputs", folder / OUTPUTS
    remove(inputs, outputs)
    outputs.mkdir(parents=True)
    try:
        for key, artifacts in result.inputs.artifacts.items():
            for number, artifact in enumerate(artifacts.artifacts):
                artifact.custom_path = str(inputs / key / str(number))
                copy(local_path(artifact.uri), artifact.custom_path)
        for key, artifacts in result.outputs.artifacts.items():
            for artifact in artifacts.artifacts:
                artifact.custom_path = str(outputs / key)
        result.outputs.output_file = str(outputs / "output_metadata.json")
        yield result
        # By the request as it was: who is given the copy may replace its URIs.
        for key, artifacts in executor_input.outputs.artifacts.items():
            for artifact in artifacts.artifacts:
                copy(str(outputs / key), local_path(artifact.uri))
        copy(result.outputs.output_file, executor_input.outputs.output_file)
    finally:
        remove(inputs, outputs)
    remove(folder)


def copy(source: str, target: str) -> None:
    """Copies a file or a folder; there may be nothing, as for the champion of a first run."""
    origin = Path(source)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    if origin.is_dir():
        shutil.copytree(origin, target, dirs_exist_ok=True)
    elif origin.exists():
        shutil.copyfile(origin, target)


def remove(*folders: Path) -> None:
    """Removes folders; what cannot be removed is left, with a warning: a worker that is being ended may still write."""
    for folder in folders:
        shutil.rmtree(
            folder,
            onerror=lambda _, path, error: (
                log.warning("cannot remove %s: %s", path, error[1]) if Path(path).exists() else None
            ),
        )
