"""tf.distribute strategies by name."""

import os

import tensorflow as tf


def build_strategy(name: str) -> tf.distribute.Strategy:
    """The strategy to train under.

    Args:
      name: "one_device", "mirrored" (every GPU of this machine, or its CPU), "multi_worker" (TF_CONFIG's workers),
        "tpu", or "auto": multi_worker where TF_CONFIG is set, mirrored with two GPUs or more, else one_device.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = "multi_worker" if "TF_CONFIG" in os.environ else "mirrored" if len(gpus) > 1 else "one_device"
    if name == "multi_worker":
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")
