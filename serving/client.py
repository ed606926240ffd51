"""Asking a served model what is in pictures. Over REST it needs the standard library only."""

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, Union

from serving.transport import Answer, Grpc, PredictionError, Rest, Transport, retried

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Client", "Picture", "Prediction", "PredictionError", "predict"]

Picture = Union[Path, str, bytes, "np.ndarray"]
"""A file's path, its encoded bytes, or pixels: uint8 [height, width], or [height, width, 1, 3 or 4]."""

_IMAGES_PER_REQUEST = 32
_BYTES_PER_REQUEST = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the model sees in one picture."""

    label: str
    """The most probable class; empty where the model cannot use the picture."""
    probability: float
    """Its probability, 0 to 1."""
    probabilities: dict[str, float]
    """Of every class, in the order of the model's vocabulary; they sum to 1."""
    status: str = ""
    """Why the model cannot use the picture; empty where it can."""
    version: int | None = None
    """The version of the model that answered; None where the server does not tell."""


class Client:
    """A model at a server, TensorFlow Serving or the development server.

    Args:
      url: of the server: http://127.0.0.1:8501 for REST, grpc://127.0.0.1:8500 for gRPC.
      model_name: the name the model is served under.
      version: the version to ask; by default the one the server takes.
      label: or the label to ask, `stable` or `canary`.
      timeout: seconds to wait for an answer to each request of up to 32 pictures.
      deadline: seconds for all the pictures of a call of `predict`, tries and pauses included.
      retries: how often a request is tried again that was not answered, or whose server was busy.

    Raises:
      ValueError: both a version and a label.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8501",
        *,
        model_name: str,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 60.0,
        deadline: float = 600.0,
        retries: int = 3,
    ):
        if version is not None and label is not None:
            raise ValueError(f"Ask for version {version} or for label {label}, not for both")
        scheme, _, address = url.partition("://")
        self._transport: Transport = (
            Grpc(address.rstrip("/"), model_name, version, label)
            if scheme == "grpc"
            else Rest(url, model_name, version, label)
        )
        self._url, self._timeout, self._deadline, self._retries = url, timeout, deadline, retries

    def predict(self, images: Sequence[Picture]) -> list[Prediction]:
        """Classifies pictures, many to a request.

        Args:
          images: files and encoded bytes are sent as they are; pixels as PNG.

        Returns:
          One prediction per picture, in order.

        Raises:
          PredictionError: a file or the server cannot be reached, or the server refuses a picture; says which.
          ValueError: an array is not a picture.
        """
        end = time.monotonic() + self._deadline
        predictions: list[Prediction] = []
        for batch in _batches(images):
            try:
                predictions += self._ask([image for _, image in batch], end)
            except PredictionError as error:
                if error.status != 400 or len(batch) == 1:
                    raise _named(error, batch) from error
                predictions += self._ask_singly(batch, end)
        return predictions

    def close(self) -> None:
        """Lets the connection go."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def _ask_singly(self, batch: list[tuple[str, bytes]], end: float) -> list[Prediction]:
        """One request per picture, so that the error names the picture that caused it."""
        predictions: list[Prediction] = []
        for name, image in batch:
            try:
                predictions += self._ask([image], end)
            except PredictionError as error:
                raise _named(error, [(name, image)]) from error
        return predictions

    def _ask(self, images: list[bytes], end: float) -> list[Prediction]:
        answer = retried(
            lambda seconds: self._transport.ask(images, seconds),
            timeout=self._timeout,
            deadline=end,
            retries=self._retries,
        )
        try:
            return _predictions(answer, len(images))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise PredictionError(
                f"{self._url} answers without label, probability, classes and probabilities; "
                "was its model exported by tfx-vision?"
            ) from error


def predict(
    images: Sequence[Picture],
    url: str = "http://127.0.0.1:8501",
    *,
    model_name: str,
    version: int | None = None,
    label: str | None = None,
    timeout: float = 60.0,
) -> list[Prediction]:
    """Classifies pictures with a client of their own; see `Client`."""
    with Client(url, model_name=model_name, version=version, label=label, timeout=timeout) as client:
        return client.predict(images)


def _predictions(answer: Answer, count: int) -> list[Prediction]:
    outputs = answer.outputs
    status = outputs.get("status", [""] * count)
    return [
        Prediction(
            label=outputs["label"][index],
            probability=outputs["probability"][index],
            probabilities=dict(zip(outputs["classes"][index], outputs["probabilities"][index], strict=True)),
            status=status[index],
            version=answer.version,
        )
        for index in range(count)
    ]


def _named(error: PredictionError, batch: list[tuple[str, bytes]]) -> PredictionError:
    if error.status != 400 or len(batch) != 1:
        return error
    return PredictionError(f"{batch[0][0]}: {error}", error.status)


def _batches(images: Sequence[Picture]) -> Iterator[list[tuple[str, bytes]]]:
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


def _read(index: int, image: Picture) -> tuple[str, bytes]:
    if isinstance(image, bytes):
        return f"image {index}", image
    if not isinstance(image, str | Path):
        return f"image {index}", _encode(index, image)
    try:
        return str(image), Path(image).read_bytes()
    except OSError as error:
        raise PredictionError(f"{image} could not be read: {error.strerror}") from error


def _encode(index: int, pixels: "np.ndarray") -> bytes:
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.dtype.name != "uint8" or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise ValueError(
            f"image {index} is {pixels.dtype} {list(pixels.shape)}; pixels are uint8, [height, width] or "
            "[height, width, 1, 3 or 4]"
        )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
