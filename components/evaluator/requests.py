"""A few test images with the candidate's answers, in the artifact's `requests.json`: what a server must answer too."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.evaluator.tally import Sample

FILE = "requests.json"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One image and what the model answers to it."""

    image: str
    """The encoded file, in base64."""
    example: str
    """The serialized tf.Example that holds it, in base64."""
    probabilities: dict[str, float]
    """By class."""


def write_requests(samples: Sequence[Sample], classes: Sequence[str], folder: str) -> None:
    """Puts them into the artifact's folder."""
    from tensorflow.core.example import example_pb2

    from transform import features

    written = []
    for sample in samples:
        feature = example_pb2.Example.FromString(sample.example).features.feature
        written.append(
            {
                "image": base64.b64encode(feature[features.IMAGE].bytes_list.value[0]).decode(),
                "example": base64.b64encode(sample.example).decode(),
                "probabilities": dict(zip(classes, sample.probabilities, strict=True)),
            }
        )
    Path(folder, FILE).write_text(json.dumps(written), encoding="utf-8")


def read_requests(folder: str) -> list[Request]:
    """What is in the artifact's folder."""
    return [Request(**one) for one in json.loads(Path(folder, FILE).read_text(encoding="utf-8"))]
