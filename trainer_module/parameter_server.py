"""Training with parameter servers: the chief hands steps to workers, which compute at their own pace (Li et al., 2014).

TF_CONFIG names the chief, the workers and the parameter servers, `ps`. All but the chief only serve. Steps overlap, so
neither their order nor the result is reproducible, and a step has no place to stop at: checkpoints are those of epochs.
"""

import json
import logging
import os
import socket
import time

import tensorflow as tf

from trainer_module.batches import batch_changes
from trainer_module.data import Split, pixels, untuned
from trainer_module.settings import TrainingSettings
from transform import features

log = logging.getLogger("tfx_vision.training")

SHUFFLED = 10_000
"""Images that a worker draws the next one from."""
GRACE = 60.0
"""Seconds without a chief after which what serves it ends."""


def serves(name: str) -> bool:
    """Whether this process is a worker or a parameter server of the strategy of this name."""
    config = json.loads(os.environ.get("TF_CONFIG", "{}"))
    chosen = name == "parameter_server" or (name == "auto" and "ps" in config.get("cluster", {}))
    return chosen and config.get("task", {}).get("type") in ("worker", "ps")


def serve() -> None:
    """Serves the chief until it has gone."""
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    cluster, role, number = resolver.cluster_spec(), resolver.task_type, resolver.task_id
    server = tf.distribute.Server(cluster, job_name=role, task_index=number, protocol="grpc")
    log.info("%s %d serves the chief at %s", role, number, server.target)
    host, _, port = cluster.job_tasks("chief")[0].rpartition(":")
    seen, gone_since = False, time.monotonic()
    while not seen or time.monotonic() - gone_since < GRACE:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            seen, gone_since = True, time.monotonic()
        except OSError:
            pass
        time.sleep(1)


def check(settings: TrainingSettings) -> None:
    """Refuses what needs one step after the other.

    Raises:
      ValueError: a setting does.
    """
    config, transfer = settings.trainer, settings.transfer
    needed = {
        "trainer.averaging": config.averaging != "none",
        "trainer.stratified": config.stratified,
        "trainer.checkpoints.every_steps": config.checkpoints.every_steps > 0,
        "transfer.twin_epochs": transfer.twin_epochs > 0,
        "transfer.pretraining_epochs": transfer.pretraining_epochs > 0,
        "transfer.initializations": transfer.initializations > 1,
    }
    for path in (path for path, wanted in needed.items() if wanted):
        raise ValueError(f"{path} cannot be had with parameter servers, whose steps overlap; leave it at its default")


def training_batches(settings: TrainingSettings, train: Split) -> tf.data.Dataset:
    """Batches without end for a worker, in an order of its own: graph operations only, for they run elsewhere."""
    changes = batch_changes(settings, train)
    shuffled = _images(train).shuffle(min(train.size, SHUFFLED)).repeat().batch(settings.trainer.batch_size)
    if changes is None:
        return shuffled.prefetch(2)
    return shuffled.enumerate().map(lambda step, batch: changes(step, *batch), tf.data.AUTOTUNE).prefetch(2)


def evaluation_batches(split: Split, batch_size: int) -> tf.data.Dataset:
    """Every image once."""
    return _images(split).batch(batch_size)


def _images(split: Split) -> tf.data.Dataset:
    spec = {
        split.transform.materialized: tf.io.FixedLenFeature([1], tf.string),
        features.CLASS_INDEX: tf.io.FixedLenFeature([], tf.int64),
    }

    def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(record, spec)
        image = pixels(example[split.transform.materialized], split.transform)[0]
        return image, tf.one_hot(example[features.CLASS_INDEX], split.classes)

    return untuned(tf.data.TFRecordDataset(list(split.files), "GZIP")).map(parse, tf.data.AUTOTUNE)
