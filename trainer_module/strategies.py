"""tf.distribute strategies: by name, what they make of the batch size, and who writes."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from trainer_module.config import TrainerConfig


def build_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy to train under.

    Args:
      name: "one_device", "mirrored" (every GPU of this machine, or its CPU), "multi_worker" (TF_CONFIG's workers),
        "parameter_server" (TF_CONFIG's too), "tpu", or "auto": what TF_CONFIG has where it is set, mirrored with two
        GPUs or more, else one_device.

    Raises:
      ValueError: there is no TPU, or TF_CONFIG does not say what the strategy needs.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = _in_cluster() or ("mirrored" if len(gpus) > 1 else "one_device")
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "parameter_server":
        if _in_cluster() != "parameter_server":
            raise ValueError("trainer.strategy: parameter_server needs a TF_CONFIG that names chief, worker and ps")
        return tf.distribute.ParameterServerStrategy(tf.distribute.cluster_resolver.TFConfigClusterResolver())
    if name == "tpu":
        return _on_tpu()
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def name_of(strategy: tf.distribute.Strategy) -> str:
    """The name in `tf.distribute`, such as "MultiWorkerMirroredStrategy"; some classes are called otherwise."""
    public = (name for name in dir(tf.distribute) if getattr(tf.distribute, name) is type(strategy))
    return next(public, type(strategy).__name__)


def _in_cluster() -> str | None:
    """The strategy that TF_CONFIG asks for; None without one."""
    cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster")
    return ("parameter_server" if "ps" in cluster else "multi_worker") if cluster else None


def _on_tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"trainer.strategy: no TPU was found ({reason}); name it in TPU_NAME, or set the strategy to auto"
        ) from error


def global_batch_size(config: TrainerConfig, strategy: tf.distribute.Strategy) -> int:
    """Images per step over all replicas.

    Raises:
      ValueError: the replicas cannot share it equally.
    """
    replicas = strategy.num_replicas_in_sync
    if config.batch_size_is == "per_replica":
        return config.batch_size * replicas
    if config.batch_size % replicas:
        nearest = max(round(config.batch_size / replicas), 1) * replicas
        raise ValueError(
            f"trainer.batch_size: {config.batch_size} images cannot be shared equally by {replicas} replicas; "
            f"take {nearest}, or set trainer.batch_size_is to per_replica"
        )
    return config.batch_size


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the artifacts."""
    return bool(strategy.extended.should_checkpoint)


def several_workers(strategy: tf.distribute.Strategy) -> bool:
    """Whether other processes train the same model."""
    return bool(getattr(strategy.extended, "_in_multi_worker_mode", bool)())


def is_asynchronous(strategy: tf.distribute.Strategy) -> bool:
    """Whether steps overlap, as those of several workers with parameter servers do."""
    return isinstance(strategy, tf.distribute.ParameterServerStrategy)


@contextlib.contextmanager
def written_by_chief(strategy: tf.distribute.Strategy, *folders: str) -> Iterator[list[str]]:
    """The folders themselves for the chief; for other workers temporary ones, which are removed.

    Every worker has to go through the motions of saving, because some variables are read from all of them.
    """
    if is_chief(strategy):
        yield list(folders)
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield [os.path.join(scratch, str(number)) for number in range(len(folders))]


def wait_for_chief(strategy: tf.distribute.Strategy) -> None:
    """Returns when every worker has come here: TFX looks for the model, which the chief wrote, in each of them."""
    if several_workers(strategy):
        arrived = strategy.run(lambda: tf.constant(1.0))
        strategy.reduce(tf.distribute.ReduceOp.SUM, arrived, axis=None)
