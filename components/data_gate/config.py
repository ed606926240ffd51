"""How much data may change before a run stops."""

from typing import Annotated

from pydantic import Field

from transform.config import settings


@settings
class GateConfig:
    """Thresholds of the drift between spans and the skew between splits. What chance alone may do to small sets is
    added to each, so that a threshold means the same for a hundred images and a million. 1 turns a check off."""

    schema: str = ""
    """An accepted schema, as `tfx-vision schema accept` writes it; empty takes what the training split has as it is."""
    passed: str = ""
    """Folder for the statistics of the spans that passed, which later ones are compared with. Needed on a cluster only,
    on one of its volumes; on this machine the pipeline's own metadata tell."""
    label_drift: Annotated[float, Field(ge=0, le=1)] = 0.1
    """L-infinity: the largest change of a class's share since the last span."""
    label_skew: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Likewise between the training split and another split."""
    drift: Annotated[float, Field(ge=0, le=1)] = 0.15
    """Jensen-Shannon divergence of sizes, channels, brightness, contrast and sharpness since the last span."""
    skew: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Likewise between the training split and another split."""
