"""Training and its hyperparameters, without a pipeline."""

import numpy as np
import pytest

from trainer_module.compilation import compiled_model, make_reproducible
from trainer_module.config import CheckpointConfig, TrainerConfig
from trainer_module.fitting import fit
from trainer_module.model_config import ModelConfig
from trainer_module.settings import TrainingSettings
from trainer_module.trainer import what_counts


def test_hyperparameters_replace_their_own_settings_and_no_others():
    settings = TrainingSettings(model=ModelConfig(dropout=0.1), trainer=TrainerConfig(epochs=3)).with_values(
        {"model.dropout": 0.5, "trainer.learning_rate": 0.01, "trainer.optimizer": "adagrad"}
    )
    model, trainer = settings.model, settings.trainer
    assert (model.dropout, trainer.learning_rate, trainer.optimizer, trainer.epochs) == (0.5, 0.01, "adagrad", 3)


def test_hyperparameters_out_of_range_are_refused():
    with pytest.raises(ValueError, match="learning_rate"):
        TrainingSettings().with_values({"trainer.learning_rate": 7.0})


def test_training_learns(split, tmp_path):
    config = TrainerConfig(epochs=3, batch_size=10, learning_rate=0.01, patience=0)
    make_reproducible(config.seed)
    settings = TrainingSettings(model=ModelConfig(filters=[4], hidden_units=8, dropout=0), trainer=config)
    model = compiled_model(settings, split)
    folder = str(tmp_path / "checkpoints")
    history = fit(model, settings, split, split, folder=folder, log_dir=str(tmp_path)).history
    assert history["loss"][-1] < history["loss"][0]
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_diverging_training_stops_with_the_setting_to_change(split, tmp_path):
    config = TrainerConfig(epochs=5, batch_size=10, learning_rate=1.0, optimizer="sgd", patience=0)
    network = ModelConfig(filters=[4], hidden_units=8, batch_normalization=False)
    settings = TrainingSettings(model=network, trainer=config)
    model = compiled_model(settings, split)
    model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
    with pytest.raises(ValueError, match=r"NaN.*trainer\.learning_rate"):
        fit(model, settings, split, split, folder=str(tmp_path / "checkpoints"), log_dir=str(tmp_path))


def test_how_a_training_is_saved_and_fed_does_not_make_it_another_one():
    one = what_counts(TrainingSettings())
    same = TrainerConfig(feeder="disk", checkpoints=CheckpointConfig(keep=9))
    assert one == what_counts(TrainingSettings(trainer=same))
    assert one != what_counts(TrainingSettings(trainer=TrainerConfig(epochs=3)))
