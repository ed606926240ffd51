"""What a model must keep to while it is served."""

from typing import Annotated

from pydantic import Field

from transform.config import settings


@settings
class InfraValidatorConfig:
    """The trial in a server before the push."""

    enabled: bool = True
    """False pushes blessed models without having tried to serve them."""
    max_memory_mib: Annotated[int, Field(ge=64)] = 3072
    """Memory that the server may take, in MiB: the limit of the production server's container."""
    max_start_seconds: Annotated[float, Field(gt=0, le=3600)] = 180.0
    """Time from the server's start to its first answer."""
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    """Median time of a request with one image, in milliseconds, on this machine; null does not judge it."""
