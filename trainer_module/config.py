"""The settings of training: length, feeding, checkpoints, strategy, and (inherited) optimization."""

from typing import Annotated, Literal

from pydantic import Field

from trainer_module.optimization_config import OptimizationConfig
from transform.config import settings

StrategyName = Literal["auto", "one_device", "mirrored", "multi_worker", "parameter_server", "tpu"]
BatchSize = Annotated[int, Field(ge=1, le=65_536)]


@settings
class CheckpointConfig:
    """What an interrupted training continues from. A finished one leaves none of it behind."""

    directory: str = ""
    """Folder for them, such as a mounted volume or gs://…; empty is a folder beside the Trainer's artifacts."""
    every_epochs: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Epochs between two; 0 saves at the end of none."""
    every_steps: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Steps between two within an epoch; 0 saves at none. SIGTERM and Ctrl-C always save."""
    best_only: bool = False
    """After an epoch, save only if it is the best so far; what follows the best is trained again after a kill."""
    keep: Annotated[int, Field(ge=1, le=1000)] = 2
    """How many of the newest stay. The weights of the best epoch are kept besides."""


@settings
class TrainerConfig(OptimizationConfig):
    """Training."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Epochs, at most."""
    steps_per_epoch: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Batches drawn in each epoch (handbook, part 9, "Steps"); 0 is one pass over the training split."""
    batch_size: BatchSize = 64
    """Images per step: over all replicas together, or each; see batch_size_is."""
    batch_size_is: Literal["global", "per_replica"] = "global"
    """What batch_size counts. Per replica, a step grows with the replicas, and the learning rate may have to."""
    stratified: bool = False
    """Give every batch the classes in the proportions of the training split."""
    patience: Annotated[int, Field(ge=0, le=10_000)] = 5
    """Epochs without improvement before training stops; 0 never stops."""
    monitor: Literal["val_loss", "val_accuracy"] = "val_loss"
    """What has to improve."""
    min_improvement: Annotated[float, Field(ge=0, le=10)] = 0.0
    """By more than this."""
    restore_best: bool = True
    """End with the weights of the best epoch, not with the last ones; only with patience."""
    feeder: Literal["auto", "memory", "disk", "hybrid"] = "auto"
    """All pixels in memory, each from a file, or a segment at a time in memory. auto: memory if they fit; disk if the
    system can keep the file in memory; else hybrid."""
    segments: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Parts with the same share of each class, trained on one after the other; 0 is what hybrid needs, else 1."""
    segment_epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    """Passes over a segment before the next; several read the disk less often, and want augmentation."""
    warm_start: Literal["none", "champion"] = "none"
    """Begin with the weights of the model being served, as far as they fit: continuous learning on new data."""
    strategy: StrategyName = "auto"
    """The tf.distribute strategy; auto takes every GPU there is, or TF_CONFIG's workers, or its parameter servers."""
    mixed_precision: bool = False
    """Compute in float16 on GPUs that are fast at it."""
    checkpoints: CheckpointConfig = Field(default_factory=CheckpointConfig)
    """What an interrupted training continues from."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of weights, data order and augmentation."""
