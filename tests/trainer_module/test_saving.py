"""Architecture and weights on disk, warm starts from a saved model, and what stands beside one."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer_module import model_card, saving
from trainer_module.diagnostics import Evidence
from trainer_module.model_config import ModelConfig
from trainer_module.models import build_model
from trainer_module.settings import TrainingSettings
from trainer_module.warm_start import identity_of, warm_start, weights_by_path
from transform.config import TransformConfig


def network(architecture: str = "convnet", classes: int = 3, seed: int = 1, **settings: object) -> tf.keras.Model:
    tf.keras.utils.set_random_seed(seed)
    model = ModelConfig(architecture=architecture, **{"filters": [4], "hidden_units": 8} | settings)  # type: ignore[arg-type]
    return build_model(model, TransformConfig(height=32, width=32), classes)


def equal(one: tf.keras.Model, other: tf.keras.Model) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@pytest.mark.parametrize("architecture", ["convnet", "MobileNetV3Small"])
def test_a_network_comes_back_with_its_weights_and_its_answers(tmp_path, architecture):
    model = network(architecture)
    saving.save(model, tmp_path)
    restored = saving.restore(tmp_path)
    images = tf.cast(tf.random.stateless_uniform([2, 32, 32, 3], (1, 2), maxval=255), tf.uint8)
    assert equal(model, restored)
    assert np.array_equal(model(images), restored(images))


def test_the_architecture_alone_comes_back_with_fresh_weights(tmp_path):
    model = network()
    saving.save(model, tmp_path)
    (tmp_path / saving.WEIGHTS).unlink()
    tf.keras.utils.set_random_seed(2)
    assert not equal(model, saving.restore_architecture(tmp_path))


def lambda_layer() -> tf.keras.Model:
    pixels = tf.keras.layers.Input((3,))
    return tf.keras.Model(pixels, tf.keras.layers.Lambda(lambda x: x * 2)(pixels))


@pytest.mark.parametrize(
    ("config", "danger"),
    [
        (json.loads(lambda_layer().to_json()), r"Python code \(Lambda\)"),
        ({"class_name": "TFOpLambda", "config": {"function": "io.write_file"}}, r"it calls tf\.io\.write_file"),
        ({"layers": [{"module": "os", "class_name": "system"}]}, r"it names os\.system"),
        ({"module": "builtins", "class_name": "function", "config": "eval"}, r"it names builtins\.function"),
    ],
)
def test_an_architecture_that_could_run_code_is_refused(tmp_path, config, danger):
    (tmp_path / saving.ARCHITECTURE).write_text(json.dumps(config))
    with pytest.raises(ValueError, match=danger):
        saving.restore_architecture(tmp_path)


def saved_model(model: tf.keras.Model, folder: Path, classes: list[str]) -> str:
    """As `export` nests it, with what `model_card` puts beside it."""
    root = tf.Module()
    root.model = tf.keras.Model(model.input, model.output)
    root.weights = weights_by_path(root.model)
    tf.saved_model.save(root, str(folder))
    (folder / model_card.EXTRA).mkdir()
    (folder / model_card.EXTRA / model_card.PROVENANCE).write_text(json.dumps({"classes": classes}))
    return str(folder)


@pytest.mark.parametrize("architecture", ["convnet", "MobileNetV3Small"])
def test_a_warm_start_has_the_weights_of_the_saved_model(tmp_path, architecture):
    champion, fresh = network(architecture), network(architecture, seed=2)
    warm_start(fresh, saved_model(champion, tmp_path / "champion", ["a", "b", "c"]), ["a", "b", "c"])
    assert equal(champion, fresh)


def test_frozen_layers_do_not_disturb_a_warm_start(tmp_path):
    champion, fresh = network(), network(seed=2)
    fresh.layers[-1].trainable = False
    champion.layers[2].trainable = False
    warm_start(fresh, saved_model(champion, tmp_path / "champion", ["a", "b", "c"]), ["a", "b", "c"])
    fresh.trainable = champion.trainable = True
    assert equal(champion, fresh)


def test_other_classes_keep_the_fresh_classifier_and_take_the_rest(tmp_path):
    champion, fresh, untouched = network(), network(seed=2), network(seed=2)
    warm_start(fresh, saved_model(champion, tmp_path / "champion", ["a", "b", "c"]), ["a", "b", "d"])
    assert np.array_equal(fresh.get_weights()[0], champion.get_weights()[0])
    for position in (-1, -2):
        assert np.array_equal(fresh.get_weights()[position], untouched.get_weights()[position])


def test_without_a_champion_training_begins_anew(tmp_path):
    fresh, untouched = network(seed=2), network(seed=2)
    for folder in (None, str(tmp_path / "nothing")):
        warm_start(fresh, folder, ["a"])
        assert equal(fresh, untouched)
        assert identity_of(folder) is None


def test_a_champion_of_another_network_is_said_to_be_of_no_use(tmp_path, caplog):
    champion, fresh = network(filters=[6], hidden_units=5), network(seed=2, batch_normalization=False)
    warm_start(fresh, saved_model(champion, tmp_path / "champion", ["a"]), ["b"])
    assert "no weight of the champion fits" in caplog.text


def test_the_extras_tell_settings_data_classes_and_how_training_went(split, tmp_path):
    history = {"loss": [1.0, 0.5], "accuracy": [0.5, 0.8], "val_loss": [0.9, 0.7], "val_accuracy": [0.6, 0.75]}
    outcome = Evidence(history=history, classes=3, learning_rate=0.1, ended=True)
    settings = TrainingSettings(transform=split.transform)
    model_card.write_extras(str(tmp_path), settings, split, split, ["cat", "dog|wolf", "owl"], outcome)
    extra = tmp_path / "assets.extra"
    assert json.loads((extra / "configuration.json").read_text()) == settings.to_json()
    facts = json.loads((extra / "provenance.json").read_text())
    assert facts["classes"] == ["cat", "dog|wolf", "owl"] and len(facts["data"]["train"]) == 64
    card = (extra / "model_card.md").read_text()
    assert "| dog wolf | 17 |" in card
    assert "| accuracy in epoch 2 | 0.8000 | 0.7500 |" in card
    assert facts["data"]["train"] in card


def test_the_commit_is_that_of_the_folder_and_none_without_one(tmp_path):
    assert model_card.commit(tmp_path) is None
