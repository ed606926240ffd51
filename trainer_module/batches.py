"""What a training's steps are given: the batches of its split, augmented and weighted as its settings say."""

import numpy as np
import tensorflow as tf

from trainer_module import feeding
from trainer_module.augmentation import augmentation
from trainer_module.data import Split
from trainer_module.feeding import Augment, Plan
from trainer_module.settings import TrainingSettings


def training_batches(
    settings: TrainingSettings,
    train: Split,
    *,
    last_epoch: int | None = None,
    first_step: int = 0,
    plan: Plan | None = None,
    part: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """The batches from a step to the end of the training.

    Args:
      settings: of the training.
      train: its split.
      last_epoch: how many epochs there are; those of the settings unless given.
      first_step: counted over all epochs, from 0.
      plan: how the split is read; chosen here unless given.
      part: (index, count) of the worker.
    """
    config = settings.trainer
    return feeding.feed(
        train,
        config.batch_size,
        feeder=config.feeder,
        seed=config.seed,
        stratified=config.stratified,
        first_step=first_step,
        last_step=(last_epoch or config.epochs) * feeding.steps_per_epoch(train, config),
        augment=batch_changes(settings, train),
        plan=plan,
        part=part,
    )


def batch_changes(settings: TrainingSettings, train: Split) -> Augment | None:
    """What is done to each training batch: augmentation, and weights of the images where classes are weighted."""
    augment = augmentation(settings.augmentation, settings.trainer.seed)
    if settings.trainer.class_weights == "none":
        return augment
    weights = tf.constant(balanced_weights(np.bincount(train.labels, minlength=train.classes)), tf.float32)

    def change(step: tf.Tensor, pixels: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
        if augment:
            pixels, labels = augment(step, pixels, labels)
        # The weight of a mixed image is mixed as its label is, which Keras's own class_weight does not do.
        return pixels, labels, tf.linalg.matvec(labels, weights)

    return change


def balanced_weights(counts: np.ndarray) -> np.ndarray:
    """Images by class → weight by class: the same in total for every class, and 1 on average over the images."""
    return np.sum(counts) / (np.count_nonzero(counts) * np.maximum(counts, 1))
