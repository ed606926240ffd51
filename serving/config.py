"""The settings of serving."""

from typing import Annotated

from pydantic import Field

from transform.config import settings

Port = Annotated[int, Field(ge=0, le=65535)]


@settings
class ServingConfig:
    """What answers requests."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address the development server listens on: 127.0.0.1 for this machine only, 0.0.0.0 for every interface."""
    rest_port: Port = 8501
    """Port of the REST API; 0 takes a free one."""
    grpc_port: Port = 8500
    """Port of the gRPC API; 0 takes a free one."""
    model_name: Annotated[str, Field(pattern=r"^[^/:\s]+$")] | None = None
    """The model's name in URLs and requests; by default the pipeline's."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=2**31 - 1)] = 64 * 2**20
    """Largest request the development server takes, in bytes; base64 makes an image a third larger."""
