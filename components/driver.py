"""A driver looks at the world before the cache is asked, so that what changed there is not taken from the cache."""

import abc
from typing import Any

from tfx.dsl.components.base import base_driver
from tfx.orchestration import metadata
from tfx.orchestration.portable import base_driver as portable_driver
from tfx.orchestration.portable import data_types
from tfx.proto.orchestration import driver_output_pb2


class ObservingDriver(base_driver.BaseDriver, portable_driver.BaseDriver):
    """Adds what `observe` returns to the execution's properties, which the cache key is made from."""

    def __init__(self, metadata_handle: metadata.Metadata):
        base_driver.BaseDriver.__init__(self, metadata_handle)
        portable_driver.BaseDriver.__init__(self, metadata_handle)

    @abc.abstractmethod
    def observe(self, execution_info: data_types.ExecutionInfo) -> dict[str, str | int]:
        """What this execution depends on besides its inputs."""

    def run(self, execution_info: data_types.ExecutionInfo) -> driver_output_pb2.DriverOutput:
        properties: dict[str, Any] = {**execution_info.exec_properties, **self.observe(execution_info)}
        result = driver_output_pb2.DriverOutput()
        for name, value in properties.items():
            field = "int_value" if isinstance(value, int) else "string_value"
            setattr(result.exec_properties[name], field, value)
        return result
