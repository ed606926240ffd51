"""Asking a served model what is in pictures. Needs the standard library only."""

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_IMAGES_PER_REQUEST = 32
_BYTES_PER_REQUEST = 16 * 2**20


class PredictionError(Exception):
    """Pictures that could not be classified. The message says why and what to do.

    Attributes:
      status: the HTTP status the server answered with; None where it did not answer.
    """

    def __init__(self, message: str, status: int | None = None):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model sees in one picture."""

    label: str
    """The most probable class."""
    probability: float
    """Its probability, 0 to 1."""
    probabilities: dict[str, float]
    """Of every class, in the order of the model's vocabulary; they sum to 1."""


def predict(
    images: Sequence[Path | str | bytes],
    url: str = "http://127.0.0.1:8501",
    *,
    model_name: str,
    version: int | None = None,
    timeout: float = 60.0,
) -> list[Prediction]:
    """Classifies pictures with a model served by TensorFlow Serving or the development server.

    Args:
      images: paths of image files, or their encoded bytes; they are sent as they are.
      url: of the server, such as http://127.0.0.1:8501.
      model_name: the name the model is served under.
      version: the version to ask; by default the one the server takes.
      timeout: seconds to wait for an answer to each request of up to 32 pictures.

    Returns:
      One prediction per picture, in order.

    Raises:
      PredictionError: a file or the server cannot be reached, or the server refuses a picture; says which.
    """
    target = f"{url.rstrip('/')}/v1/models/{urllib.parse.quote(model_name, safe='')}"
    if version is not None:
        target += f"/versions/{version}"
    predictions: list[Prediction] = []
    for batch in _batches(images):
        try:
            predictions += _ask(target, [image for _, image in batch], timeout)
        except PredictionError as error:
            if error.status != 400 or len(batch) == 1:
                raise _named(error, batch) from error
            predictions += _ask_singly(target, batch, timeout)
    return predictions


def _ask_singly(target: str, batch: list[tuple[str, bytes]], timeout: float) -> list[Prediction]:
    """One request per picture, so that the error names the picture that caused it."""
    predictions: list[Prediction] = []
    for name, image in batch:
        try:
            predictions += _ask(target, [image], timeout)
        except PredictionError as error:
            raise _named(error, [(name, image)]) from error
    return predictions


def _named(error: PredictionError, batch: list[tuple[str, bytes]]) -> PredictionError:
    if error.status != 400 or len(batch) != 1:
        return error
    return PredictionError(f"{batch[0][0]}: {error}", error.status)


def _batches(images: Sequence[Path | str | bytes]) -> Iterator[list[tuple[str, bytes]]]:
    """Names and bytes of the pictures, as many at a time as one request should hold."""
    batch: list[tuple[str, bytes]] = []
    size = 0
    for index, image in enumerate(images):
        name, content = _read(index, image)
        if batch and (len(batch) == _IMAGES_PER_REQUEST or size + len(content) > _BYTES_PER_REQUEST):
            yield batch
            batch, size = [], 0
        batch.append((name, content))
        size += len(content)
    if batch:
        yield batch


def _read(index: int, image: Path | str | bytes) -> tuple[str, bytes]:
    if isinstance(image, bytes):
        return f"image {index}", image
    try:
        return str(image), Path(image).read_bytes()
    except OSError as error:
        raise PredictionError(f"{image} could not be read: {error.strerror}") from error


def _ask(target: str, images: list[bytes], timeout: float) -> list[Prediction]:
    instances = [{"b64": base64.b64encode(image).decode()} for image in images]
    answer = _post(f"{target}:predict", {"instances": instances}, timeout)
    try:
        return [
            Prediction(
                label=row["label"],
                probability=row["probability"],
                probabilities=dict(zip(row["classes"], row["probabilities"], strict=True)),
            )
            for row in answer["predictions"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise PredictionError(
            f"{target} answers without label, probability, classes and probabilities; "
            "was its model exported by tfx-vision?"
        ) from error


def _post(target: str, document: dict[str, Any], timeout: float) -> dict[str, Any]:
    try:
        request = urllib.request.Request(
            target, json.dumps(document).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise PredictionError(_reason(error, target), error.code) from error
    except TimeoutError as error:
        raise PredictionError(f"{target} did not answer within {timeout:g} seconds") from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise PredictionError(f"{target} did not answer within {timeout:g} seconds") from error
        raise PredictionError(
            f"No server answers at {target} ({reason}); start one with `tfx-vision serve`, or give another URL"
        ) from error
    except ValueError as error:
        raise PredictionError(f"{target} is not the URL of a TensorFlow Serving REST API: {error}") from error


def _reason(error: urllib.error.HTTPError, target: str) -> str:
    """The server's own words, or the status line of one that is not TensorFlow Serving."""
    body = error.read()
    try:
        return json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return f"{target} answers {error.code} {error.reason}; is it a TensorFlow Serving REST API?"
