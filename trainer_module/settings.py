"""All settings that a training depends on, and values of a search put in their places."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer_module.augmentation_config import AugmentationConfig
from trainer_module.config import TrainerConfig
from trainer_module.model_config import ModelConfig
from trainer_module.transfer_config import TransferConfig
from transform.config import TransformConfig, from_json, to_json


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The sections of the configuration that reach `run_fn` and `tuner_fn` in `custom_config`."""

    transform: TransformConfig = dataclasses.field(default_factory=TransformConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    augmentation: AugmentationConfig = dataclasses.field(default_factory=AugmentationConfig)
    transfer: TransferConfig = dataclasses.field(default_factory=TransferConfig)
    trainer: TrainerConfig = dataclasses.field(default_factory=TrainerConfig)

    def to_json(self) -> dict[str, Any]:
        """The sections as JSON values."""
        return {field.name: to_json(getattr(self, field.name)) for field in dataclasses.fields(self)}

    def with_values(self, values: Mapping[str, Any]) -> "TrainingSettings":
        """With values in place of their own.

        Args:
          values: by key path, such as {"trainer.learning_rate": 0.01}.

        Raises:
          ValueError: a value is out of its range, or there is no such setting.
        """
        if "transfer.weights" in values:
            # The SHA-256 is that of the file it was given with.
            values = {"transfer.sha256": None, **values}
        by_section: dict[str, dict[str, Any]] = {}
        for path, value in values.items():
            section, _, key = path.partition(".")
            by_section.setdefault(section, {})[key] = value
        changed = {
            section: from_json(type(getattr(self, section)), to_json(getattr(self, section)) | own)
            for section, own in by_section.items()
        }
        return dataclasses.replace(self, **changed)


def read_settings(custom_config: Mapping[str, Any]) -> TrainingSettings:
    """The inverse of what the pipeline puts into `custom_config`; sections that are not there have their defaults."""
    sections: dict[str, Any] = {field.name: field.default_factory for field in dataclasses.fields(TrainingSettings)}
    given = {name: from_json(cls, custom_config[name]) for name, cls in sections.items() if name in custom_config}
    return TrainingSettings(**given)
