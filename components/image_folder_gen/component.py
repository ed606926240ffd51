"""The component, its executor and the driver that notices new images."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
from tfx import types
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.orchestration.portable import data_types
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.driver import ObservingDriver
from transform import features

SPLIT = "images"


class ImageFolderGenSpec(component_spec.ComponentSpec):
    """Types of the component."""

    PARAMETERS = {
        "images": component_spec.ExecutionParameter(type=str),
        "fingerprint": component_spec.ExecutionParameter(type=str, optional=True),
    }
    INPUTS: dict[str, Any] = {}
    OUTPUTS = {"examples": component_spec.ChannelParameter(type=standard_artifacts.Examples)}


class Executor(base_beam_executor.BaseBeamExecutor):
    """Reads the files."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        from components.batch_prediction.images import list_images

        folder = exec_properties["images"]
        artifact = artifact_utils.get_single_instance(output_dict["examples"])
        artifact.split_names = artifact_utils.encode_split_names([SPLIT])
        target = os.path.join(artifact_utils.get_split_uri([artifact], SPLIT), "data_tfrecord")
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(list_images(folder))
                | beam.Reshuffle()
                | "Read" >> beam.FlatMap(read_example, folder)
                | "Write" >> beam.io.WriteToTFRecord(target, file_name_suffix=".gz")
            )


def read_example(path: str, folder: str) -> Iterator[bytes]:
    """A serialized tf.Example with the image and its path; none of an empty file."""
    from tensorflow.core.example import example_pb2

    content = Path(folder, path).read_bytes()
    if content:
        example = example_pb2.Example()
        example.features.feature[features.IMAGE].bytes_list.value.append(content)
        example.features.feature[features.PATH].bytes_list.value.append(path.encode())
        yield example.SerializeToString(deterministic=True)


class Driver(ObservingDriver):
    """Notices changed files."""

    def observe(self, execution_info: data_types.ExecutionInfo) -> dict[str, str | int]:
        from components.batch_prediction.images import list_images

        folder, digest = execution_info.exec_properties["images"], hashlib.sha256()
        for path in list_images(folder):
            status = os.stat(os.path.join(folder, path))
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
        return {"fingerprint": digest.hexdigest()}


class ImageFolderGen(base_beam_component.BaseBeamComponent):
    """Output `examples`: the images below the folder `images`, in one split."""

    SPEC_CLASS = ImageFolderGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(self, images: str):
        super().__init__(
            spec=ImageFolderGenSpec(images=images, examples=types.Channel(type=standard_artifacts.Examples))
        )
