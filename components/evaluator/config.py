"""The thresholds of the evaluation."""

from typing import Annotated

from pydantic import Field

from transform.config import settings


@settings
class EvaluatorConfig:
    """What a model must reach on the test split."""

    min_accuracy: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Accuracy over all test images."""
    min_class_accuracy: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Accuracy over the test images of each class."""
    max_accuracy_drop: Annotated[float, Field(ge=0, le=1)] = 0.0
    """How much less accurate than the champion, the model being served, a challenger may be."""
