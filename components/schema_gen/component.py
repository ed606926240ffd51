"""The component, its executor and what a schema of images looks like."""

import os
from typing import Any

import tensorflow as tf
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx import types
from tfx.dsl.components.base import base_component, base_executor, executor_spec
from tfx.types import artifact_utils, component_spec, standard_artifacts

from components.data_gate.statistics import load_statistics
from components.image_example_gen.headers import FORMATS
from components.statistics_gen.component import CLASSES
from transform import features

FILE = "schema.pbtxt"


class SchemaError(ValueError):
    """A schema that cannot be used; the message says why."""


def propose(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> schema_pb2.Schema:
    """The schema of the training split."""
    schema = tfdv.infer_schema(statistics, infer_feature_shape=True, max_string_domain_size=CLASSES)
    for feature in schema.feature:
        if feature.name == features.IMAGE:
            feature.image_domain.SetInParent()
        if feature.name == features.FORMAT:
            formats = tfdv.get_domain(schema, feature.name)
            formats.value[:] = sorted({*formats.value, *FORMATS})
        if feature.name in features.PIXEL_FACTS:  # of a sample
            feature.ClearField("shape")
            feature.presence.Clear()
            feature.presence.min_count = 0
            feature.value_count.max = 1
    return schema


def parse_schema(text: str, source: str) -> schema_pb2.Schema:
    """An accepted schema.

    Raises:
      SchemaError: it is not a schema, or not one of images and labels.
    """
    try:
        schema = text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise SchemaError(f"{source} is not a schema: {error}.") from error
    missing = {features.IMAGE, features.LABEL} - {feature.name for feature in schema.feature}
    if missing:
        raise SchemaError(
            f"{source} has no feature {sorted(missing)[0]}; tfx-vision schema accept writes one that has."
        )
    return schema


class SchemaGenSpec(component_spec.ComponentSpec):
    """Types of the component."""

    PARAMETERS = {"accepted": component_spec.ExecutionParameter(type=str, optional=True)}
    INPUTS = {"statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics)}
    OUTPUTS = {"schema": component_spec.ChannelParameter(type=standard_artifacts.Schema)}


class Executor(base_executor.BaseExecutor):
    """Writes the schema."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        statistics = artifact_utils.get_single_instance(input_dict["statistics"])
        if accepted := exec_properties.get("accepted"):
            schema = parse_schema(accepted, "gate.schema")
        else:
            schema = propose(load_statistics(statistics)["train"])
        folder = artifact_utils.get_single_uri(output_dict["schema"])
        with tf.io.gfile.GFile(os.path.join(folder, FILE), "w") as stream:
            stream.write(text_format.MessageToString(schema, as_utf8=True))


class SchemaGen(base_component.BaseComponent):
    """Output `schema`, proposed from the training split of `statistics`, or `accepted`, a schema's text."""

    SPEC_CLASS = SchemaGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(self, statistics: types.BaseChannel, accepted: str = ""):
        super().__init__(
            spec=SchemaGenSpec(
                statistics=statistics, accepted=accepted, schema=types.Channel(type=standard_artifacts.Schema)
            )
        )
