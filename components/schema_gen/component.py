"""The component, and what an accepted schema must have."""

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.schema_gen.executor import Executor
from transform import features


class SchemaError(ValueError):
    """A schema that cannot be used; the message says why."""


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
