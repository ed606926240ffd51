"""The learning-rate sweep of a pipeline's training, on the examples that its last run transformed."""

import dataclasses
from pathlib import Path

import tensorflow as tf

from pipeline.config import PipelineConfig
from trainer_module.data import Split, open_split
from trainer_module.settings import TrainingSettings
from trainer_module.sweep import range_test, suggested_rate
from trainer_module.sweep_plot import plot


class SweepError(Exception):
    """A sweep that is not possible; the message says what to do."""


def sweep_rates(config: PipelineConfig, output: Path, steps: int) -> float:
    """Trains once through all learning rates and writes the plot.

    Args:
      config: of a pipeline that has run at least up to Transform.
      output: an SVG file.
      steps: of the training.

    Returns:
      The rate that suits.

    Raises:
      SweepError: nothing was transformed yet, or for other settings.
    """
    train = last_transformed(config)
    settings = TrainingSettings(
        transform=config.transform,
        model=config.model,
        augmentation=config.augmentation,
        transfer=config.transfer,
        trainer=config.trainer,
    )
    try:
        sweep = range_test(settings, train, steps)
    except tf.errors.InvalidArgumentError as error:
        raise SweepError(
            "the transformed examples are of another size than the configuration's; run the pipeline first"
        ) from error
    rate = suggested_rate(sweep)
    output.write_text(plot(sweep, rate, config.trainer.learning_rate), encoding="utf-8")
    return rate


def last_transformed(config: PipelineConfig) -> Split:
    """The training split of the newest transformed examples."""
    folder = config.folder / "artifacts" / "Transform" / "transformed_examples"
    versions = sorted((path for path in folder.glob("*") if path.name.isdecimal()), key=lambda path: int(path.name))
    if not versions:
        raise SweepError(f"there are no transformed examples in {folder}; run the pipeline first")
    split = open_split([str(versions[-1] / "Split-train" / "*")], config.transform, 1)
    return dataclasses.replace(split, classes=int(split.labels.max()) + 1)
