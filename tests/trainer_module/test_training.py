"""Feeders, networks, optimizers and hyperparameters, without a pipeline."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from trainer_module import data, models, optimizers
from trainer_module.config import APPLICATIONS, ModelConfig, TrainerConfig
from trainer_module.trainer import compiled_model, fit, with_hyperparameters
from transform import features
from transform.config import TransformConfig

TRANSFORM = TransformConfig(height=6, width=5, channels=1)
CLASSES = 3
SIZE = 50


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> data.Split:
    """50 images of noise in two files; the first pixel is the image's number, the class its remainder by 3."""
    folder: Path = tmp_path_factory.mktemp("transformed")
    random = np.random.default_rng(0)
    for shard in range(2):
        options = tf.io.TFRecordOptions(compression_type="GZIP")
        with tf.io.TFRecordWriter(str(folder / f"data-{shard}.gz"), options) as writer:
            for number in range(shard, SIZE, 2):
                pixels = random.integers(0, 256, (6, 5, 1), dtype=np.uint8)
                pixels[0, 0, 0] = number
                example = tf.train.Example()
                example.features.feature[features.PIXELS].bytes_list.value.append(pixels.tobytes())
                example.features.feature[features.CLASS_INDEX].int64_list.value.append(number % CLASSES)
                writer.write(example.SerializeToString())
    return data.open_split([str(folder / "*")], TRANSFORM, CLASSES)


def numbers(batches: tf.data.Dataset) -> list[int]:
    """The image numbers in the order they are fed; checks that pixels and labels stay together."""
    fed = []
    for pixels, labels in batches.as_numpy_iterator():
        assert pixels.dtype == np.uint8 and pixels.shape[1:] == (6, 5, 1)
        assert (labels.argmax(axis=1) == pixels[:, 0, 0, 0] % CLASSES).all()
        fed += pixels[:, 0, 0, 0].tolist()
    return fed


def test_split_counts_its_images(split):
    assert (split.size, len(split.files), split.bytes_in_memory) == (SIZE, 2, SIZE * 30)


def test_missing_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no transformed examples"):
        data.open_split([str(tmp_path / "*")], TRANSFORM, CLASSES)


@pytest.mark.parametrize("feeder", ["memory", "disk"])
def test_evaluation_feeds_every_image_once(split, feeder):
    assert sorted(numbers(data.feed(split, 16, feeder=feeder))) == list(range(SIZE))


@pytest.mark.parametrize("feeder", ["memory", "disk"])
def test_training_order_depends_on_the_seed_alone(split, feeder):
    first, again, other = (numbers(data.feed(split, 10, feeder=feeder, seed=seed).take(10)) for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(first[:SIZE]) == sorted(first[SIZE:]) == list(range(SIZE)), "two epochs, each image once in each"
    assert first[:SIZE] != first[SIZE:], "each epoch in an order of its own"


def test_auto_feeder_reads_from_disk_when_memory_is_short(split, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(data, "free_memory", lambda: split.bytes_in_memory)
    data.feed(split, 10)
    assert "disk feeder" in caplog.text


@pytest.mark.parametrize("normalization", ["rescale", "rescale_signed", "standardize", "none"])
def test_normalization_is_the_first_layer_and_reaches_its_range(normalization):
    layer = models.normalization(TransformConfig(normalization=normalization), ([127.5] * 3, [73.9] * 3))
    low, high = layer(tf.constant([[[[0] * 3]], [[[255] * 3]]], tf.uint8)).numpy()[:, 0, 0, 0]
    expected = {"rescale": (0, 1), "rescale_signed": (-1, 1), "standardize": (-1.725, 1.725), "none": (0, 255)}
    assert (low, high) == pytest.approx(expected[normalization], abs=1e-3)


@pytest.mark.parametrize("architecture", ["convnet", "MobileNetV2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_model_maps_pixels_to_probabilities(architecture, channels):
    transform = TransformConfig(height=32, width=32, channels=channels)
    model = models.build_model(ModelConfig(architecture=architecture), TrainerConfig(), transform, CLASSES)
    probabilities = model(tf.zeros([2, 32, 32, channels], tf.uint8))
    assert probabilities.shape == (2, CLASSES)
    assert tf.reduce_sum(probabilities, axis=1).numpy() == pytest.approx(1, abs=1e-5)


def test_unknown_architecture_names_the_nearest():
    with pytest.raises(ValueError, match=r"'Rezznet50' is no known architecture; did you mean ResNet50\?"):
        ModelConfig(architecture="Rezznet50")


def test_known_architectures_are_those_of_keras():
    assert [name for name in dir(tf.keras.applications) if name[0].isupper()] == APPLICATIONS


def test_too_many_groups_for_the_image_are_refused():
    with pytest.raises(ValueError, match=r"model\.filters has 6 groups"):
        models.build_model(ModelConfig(filters=[8] * 6), TrainerConfig(), TRANSFORM, CLASSES)


def test_augmentation_changes_training_images_only():
    config = TrainerConfig(flip=True, shift=0.3)
    image = tf.random.uniform([4, 16, 16, 3], seed=1)
    for layer in models.augmentation(config):
        assert (layer(image, training=False).numpy() == image.numpy()).all()
        assert (layer(image, training=True).numpy() != image.numpy()).any()


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adadelta"])
def test_every_optimizer_builds_at_its_rate(name):
    config = TrainerConfig(optimizer=name, learning_rate=0.25, schedule="constant")
    assert float(optimizers.build_optimizer(config, 10).learning_rate) == 0.25


def test_cosine_rises_through_the_warmup_and_falls_to_zero():
    rate = optimizers.learning_rate(TrainerConfig(learning_rate=0.1, warmup=0.2), 100)
    values = [float(rate(step)) for step in (0, 10, 20, 60, 100)]
    assert values == pytest.approx([0, 0.05, 0.1, 0.05, 0], abs=1e-6)


def test_hyperparameters_replace_their_own_settings_and_no_others():
    model, trainer = with_hyperparameters(
        ModelConfig(dropout=0.1),
        TrainerConfig(epochs=3),
        {"dropout": 0.5, "learning_rate": 0.01, "optimizer": "adagrad"},
    )
    assert (model.dropout, trainer.learning_rate, trainer.optimizer, trainer.epochs) == (0.5, 0.01, "adagrad", 3)


def test_hyperparameters_out_of_range_are_refused():
    with pytest.raises(ValueError, match="learning_rate"):
        with_hyperparameters(ModelConfig(), TrainerConfig(), {"learning_rate": 7.0})


def test_training_learns_and_same_seed_gives_same_weights(split, tmp_path):
    def train() -> tuple[dict[str, list[float]], np.ndarray]:
        config = TrainerConfig(epochs=3, batch_size=10, learning_rate=0.01, patience=0)
        tf.keras.utils.set_random_seed(config.seed)
        model = compiled_model(ModelConfig(filters=[4], hidden_units=8, dropout=0), config, split)
        return fit(model, config, split, split, str(tmp_path)), model.get_weights()[0]

    (first, weights), (_, again) = train(), train()
    assert first["loss"][-1] < first["loss"][0]
    assert set(first) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert np.allclose(weights, again, atol=1e-6)


def test_diverging_training_stops_with_the_setting_to_change(split, tmp_path):
    config = TrainerConfig(epochs=5, batch_size=10, learning_rate=1.0, optimizer="sgd", patience=0)
    model = compiled_model(ModelConfig(filters=[4], hidden_units=8, batch_normalization=False), config, split)
    model.set_weights([np.full_like(weights, np.nan) for weights in model.get_weights()])
    with pytest.raises(ValueError, match=r"NaN.*trainer\.learning_rate"):
        fit(model, config, split, split, str(tmp_path))
