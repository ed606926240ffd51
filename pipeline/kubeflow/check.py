"""What a cluster needs of a configuration, found out before anything heavy is imported."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Literal

from pipeline.config import AnyConfig, ConfigError, InferenceConfig, PipelineConfig
from pipeline.kubeflow.config import KubeflowConfig
from trainer_module.config import TrainerConfig

Engine = Literal["kubeflow", "vertex"]


def check(config: AnyConfig, engine: Engine) -> None:
    """Refuses what works on this machine and cannot work on a cluster.

    Raises:
      ConfigError: says which setting, and what to give instead.
    """
    kubeflow = config.kubeflow
    if not kubeflow.image:
        raise ConfigError("kubeflow.image: is required to compile; give the image that `make image` built and pushed")
    if engine == "vertex" and not (kubeflow.pipeline_root or "").startswith("gs://"):
        raise ConfigError("kubeflow.pipeline_root: Vertex AI needs a gs:// folder for the artifacts")
    if isinstance(config, PipelineConfig) and config.data.num_spans > 1:
        raise ConfigError(
            f"data.num_spans: {config.data.num_spans} spans are found by a Resolver, which a cluster does not have; "
            "set it to 1"
        )
    check_shared_work(config, engine)
    for key, path in paths(config):
        if not path or "://" in path:
            continue
        if not path.startswith("/"):
            raise ConfigError(f"{key}: {path} is relative to this machine; give the absolute path in the container")
        if engine == "kubeflow" and not on_volume(path, kubeflow):
            raise ConfigError(f"{key}: {path} is on none of kubeflow.volumes, so a step would not find it; mount it")


def check_shared_work(config: AnyConfig, engine: Engine) -> None:
    """Refuses workers and Flink where they are not possible.

    Raises:
      ConfigError: as in `check`.
    """
    workers = config.kubeflow.steps.trainer.workers if isinstance(config, PipelineConfig) else 1
    for key, used in (
        ("kubeflow.steps.trainer.workers", workers > 1),
        ("kubeflow.flink", config.kubeflow.flink is not None),
    ):
        if used and engine == "vertex":
            raise ConfigError(f"{key}: works on open-source Kubeflow only, not on Vertex AI; leave it out")
        if used and config.kubeflow.shared_volume is None:
            raise ConfigError(f"{key}: needs a volume that all its pods see; give kubeflow.shared_volume: {{claim: …}}")
    if isinstance(config, PipelineConfig) and workers > 1:
        check_workers(config.trainer, workers * max(config.kubeflow.steps.trainer.accelerators, 1))


def check_workers(trainer: TrainerConfig, replicas: int) -> None:
    """Refuses what several workers cannot train.

    Raises:
      ConfigError: as in `check`.
    """
    if trainer.strategy not in ("auto", "multi_worker"):
        raise ConfigError(f"trainer.strategy: {trainer.strategy} trains in one pod; several workers need multi_worker")
    if trainer.batch_size_is == "global" and trainer.batch_size % replicas:
        nearest = max(round(trainer.batch_size / replicas), 1) * replicas
        raise ConfigError(
            f"trainer.batch_size: {trainer.batch_size} images cannot be shared equally by {replicas} replicas; "
            f"take {nearest}, or set trainer.batch_size_is to per_replica"
        )


def paths(config: AnyConfig) -> Iterator[tuple[str, str | None]]:
    """The settings that say where something is or goes.

    Raises:
      ConfigError: there is no place for the models.
    """
    if isinstance(config, InferenceConfig):
        yield from (("images", config.images), ("destination", config.destination))
        return
    if not config.pusher.destination:
        raise ConfigError(
            "pusher.destination: is required to compile; give the folder that TensorFlow Serving watches, "
            "on one of kubeflow.volumes, such as /mnt/models/NAME"
        )
    yield from (
        ("data.path", config.data.path),
        ("data.test_path", config.data.test_path),
        ("pusher.destination", config.pusher.destination),
        ("trainer.checkpoints.directory", config.trainer.checkpoints.directory),
        ("gate.passed", config.gate.passed),
    )


def on_volume(path: str, config: KubeflowConfig) -> bool:
    """Whether a path of the container is on a mounted volume."""
    return any(PurePosixPath(path).is_relative_to(volume.path) for volume in config.volumes)
