"""`tfx-vision data skew`: whether what a served model is asked looks like what it was trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_serving.apis import prediction_log_pb2

from components.data_gate.config import GateConfig
from components.data_gate.drift import compare
from components.image_example_gen.config import LimitConfig
from components.image_example_gen.facts import Facts, describe
from components.image_example_gen.headers import Unusable
from components.image_example_gen.shards import to_table
from components.image_example_gen.sources import Item
from components.statistics_gen.component import statistics_options
from components.statistics_gen.executor import FILE, as_batch, known
from pipeline.schema import newest_artifact, run_folder
from transform import features

REQUESTS, TRAINING = "the serving requests", "the training split"


class SkewError(Exception):
    """Requests that cannot be compared; the message says why."""


@dataclass(frozen=True)
class Comparison:
    """What was compared, and what differs."""

    images: int
    """Usable images in the requests."""
    unusable: int
    """Others."""
    differences: list[str]
    """A sentence each."""


def compare_requests(run: Path, requests: Path, gate: GateConfig) -> Comparison:
    """Compares logged requests with the statistics of a run's training split.

    The class of a request is the one it was answered with: a drift of the answers is a sign of one of the questions.

    Args:
      run: folder or configuration.
      requests: a file, or a folder of files, of PredictionLogs in TFRecords, as TensorFlow Serving and the development
        server log them.
      gate: thresholds; those of the skew between splits apply.

    Raises:
      SkewError: there are no requests with images.
    """
    facts, unusable = [], 0
    for item in logged_images(requests):
        try:
            known_facts = describe(item, LimitConfig(), pixel_share=1.0)
            if not item.label:  # the answer names no class
                del known_facts[features.LABEL]
            facts.append(known_facts)
        except Unusable:
            unusable += 1
    if not facts:
        raise SkewError(f"{requests} holds no requests with images that can be read.")
    served = statistics_of(facts)
    folder = newest_artifact(run_folder(run), "StatisticsGen", "statistics")
    trained = tfdv.load_stats_binary(str(folder / "Split-train" / FILE))
    found = compare(served, trained, (REQUESTS, TRAINING), gate.label_skew, gate.skew)
    return Comparison(len(facts), unusable, found)


def statistics_of(facts: list[Facts]):  # type: ignore[no-untyped-def]
    """TFDV's statistics of facts, as StatisticsGen computes them."""
    options = statistics_options()
    return generate_statistics_in_memory(as_batch(known(to_table(facts).select(options.feature_allowlist))), options)


def logged_images(requests: Path) -> Iterator[Item]:
    """The images of every Predict request, labelled with the first class of the answer.

    Raises:
      SkewError: there are no such files, or one is no log.
    """
    files = sorted(path for path in requests.rglob("*") if path.is_file()) if requests.is_dir() else [requests]
    if not files or not requests.exists():
        raise SkewError(f"{requests} holds no files; serving.log_share and serving.log_folder log requests.")
    for file in files:
        try:
            for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
                yield from images_of(prediction_log_pb2.PredictionLog.FromString(record), str(file))
        except (tf.errors.DataLossError, ValueError) as error:
            raise SkewError(f"{file} is not a log of PredictionLogs: {error}.") from error


def images_of(log: prediction_log_pb2.PredictionLog, source: str) -> Iterator[Item]:
    """The images of one logged request."""
    inputs, outputs = log.predict_log.request.inputs, log.predict_log.response.outputs
    if features.IMAGE not in inputs:
        return
    images = inputs[features.IMAGE].string_val
    labels = outputs[features.LABEL].string_val if features.LABEL in outputs else [b""] * len(images)
    for image, label in zip(images, labels, strict=True):
        yield Item(source, label.decode(), image)
