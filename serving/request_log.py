"""A sample of the requests and their answers, as PredictionLogs in TFRecords, the format of TensorFlow Serving's own
request logging: `tfx-vision data skew` compares them with the training data."""

import logging
import queue
import random
import threading
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving import messages

_log = logging.getLogger("tfx_vision.serving")
_WAITING = 256
_RECORDS_PER_FILE = 10_000
_SECONDS_PER_FLUSH = 1.0


class RequestLog:
    """Writes a share of the requests beside answering them; drops what it cannot keep up with.

    Args:
      folder: gets a file of at most 10,000 records after the other; made if it is not there.
      share: of the requests that are logged, from 0 to 1.
    """

    def __init__(self, folder: str | Path, share: float):
        self._folder, self._share = Path(folder), share
        self._waiting: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._dropped = 0
        if share:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._thread = threading.Thread(target=self._write_all, name="request log", daemon=True)
            self._thread.start()

    def offer(
        self,
        model: str,
        version: int,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        outputs: Mapping[str, np.ndarray],
    ) -> None:
        """Logs a request or not, by chance; never waits."""
        if not self._share or random.random() >= self._share:
            return
        record = prediction_log_pb2.PredictionLog()
        spec = messages.spec(model, version, signature)
        record.log_metadata.model_spec.CopyFrom(spec)
        record.log_metadata.sampling_config.sampling_rate = self._share
        record.predict_log.request.model_spec.CopyFrom(spec)
        record.predict_log.response.model_spec.CopyFrom(spec)
        for name, array in inputs.items():
            record.predict_log.request.inputs[name].CopyFrom(messages.tensor(array))
        for name, array in outputs.items():
            record.predict_log.response.outputs[name].CopyFrom(messages.tensor(array))
        try:
            self._waiting.put_nowait(record.SerializeToString())
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Writes what waits, and ends."""
        if self._share:
            self._waiting.put(None)
            self._thread.join()
            if self._dropped:
                _log.warning("%d sampled requests were not logged: the disk was too slow", self._dropped)

    def _write_all(self) -> None:
        while self._write_file():
            pass

    def _write_file(self) -> bool:
        """Fills a file; False at the end of the log. A file is made when its first record comes."""
        record = self._waiting.get()
        if record is None:
            return False
        name = f"requests-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}.tfrecord"
        try:
            with tf.io.TFRecordWriter(str(self._folder / name)) as writer:
                for _ in range(_RECORDS_PER_FILE):
                    writer.write(record)
                    record = self._next(writer)
                    if record is None:
                        return False
                writer.write(record)
        except (OSError, tf.errors.OpError) as error:
            _log.warning("requests could not be logged to %s: %s", self._folder, error)
        return True

    def _next(self, writer: tf.io.TFRecordWriter) -> bytes | None:
        try:
            return self._waiting.get(timeout=_SECONDS_PER_FLUSH)
        except queue.Empty:
            writer.flush()  # a reader sees whole records while nothing happens
            return self._waiting.get()
