"""The networks, without a pipeline."""

import pytest
import tensorflow as tf

from trainer_module import models
from trainer_module.model_config import APPLICATIONS, ModelConfig
from transform.config import TransformConfig


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
    model = models.build_model(ModelConfig(architecture=architecture), transform, 3)
    probabilities = model(tf.zeros([2, 32, 32, channels], tf.uint8))
    assert probabilities.shape == (2, 3)
    assert tf.reduce_sum(probabilities, axis=1).numpy() == pytest.approx(1, abs=1e-5)


def test_unknown_architecture_names_the_nearest():
    with pytest.raises(ValueError, match=r"'Rezznet50' is no known architecture; did you mean ResNet50\?"):
        ModelConfig(architecture="Rezznet50")


def test_known_architectures_are_those_of_keras():
    assert [name for name in dir(tf.keras.applications) if name[0].isupper()] == APPLICATIONS


def test_too_many_groups_for_the_image_are_refused():
    with pytest.raises(ValueError, match=r"model\.filters has 6 groups"):
        models.build_model(ModelConfig(filters=[8] * 6), TransformConfig(height=6, width=5), 3)
