"""The executor of SchemaGen, and what a schema of images looks like."""

import os
from typing import Any

from google.protobuf import text_format
from tensorflow_data_validation.api.validation_api import infer_schema
from tensorflow_data_validation.utils.schema_util import get_domain
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.data_gate.statistics import load_statistics
from components.image_example_gen.headers import FORMATS
from components.statistics_gen.config import CLASSES
from transform import features

FILE = "schema.pbtxt"


def propose(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> schema_pb2.Schema:
    """The schema of the training split."""
    schema = infer_schema(statistics, infer_feature_shape=True, max_string_domain_size=CLASSES)
    for feature in schema.feature:
        if feature.name == features.IMAGE:
            feature.image_domain.SetInParent()
        if feature.name == features.FORMAT:
            formats = get_domain(schema, feature.name)
            formats.value[:] = sorted({*formats.value, *FORMATS})
        if feature.name in features.PIXEL_FACTS:  # of a sample
            feature.ClearField("shape")
            feature.presence.Clear()
            feature.presence.min_count = 0
            feature.value_count.max = 1
    return schema


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
            schema = text_format.Parse(accepted, schema_pb2.Schema())
        else:
            schema = propose(load_statistics(statistics)["train"])
        folder = artifact_utils.get_single_uri(output_dict["schema"])
        io_utils.write_string_file(os.path.join(folder, FILE), text_format.MessageToString(schema, as_utf8=True))
