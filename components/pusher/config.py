"""Where blessed models go."""

from transform.config import settings


@settings
class PusherConfig:
    """The serving destination."""

    destination: str | None = None
    """The folder TF Serving watches, one numbered sub-folder per version; by default `serving` in the run's folder."""
