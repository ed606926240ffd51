"""Where blessed models go."""

from typing import Annotated, Literal

from pydantic import Field

from transform.config import settings


@settings
class PusherConfig:
    """The serving destination."""

    destination: str | None = None
    """What TF Serving watches, one numbered sub-folder per version: a folder, by default `serving` in the run's folder,
    or s3://BUCKET/PREFIX or gs://BUCKET/PREFIX."""
    label: Literal["stable", "canary"] = "stable"
    """canary puts a new version on trial beside the stable one, until `tfx-vision promote` or `rollback`."""
    keep: Annotated[int, Field(ge=2, le=1000)] = 10
    """How many versions to leave, and how many that were rolled back. What is served is never removed."""
