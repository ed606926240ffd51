"""The networks, without a pipeline."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from trainer_module import models, normalization
from trainer_module.batches import balanced_weights, batch_changes
from trainer_module.compilation import compiled_model
from trainer_module.config import TrainerConfig
from trainer_module.model_config import APPLICATIONS, ModelConfig
from trainer_module.settings import TrainingSettings
from transform.config import TransformConfig

SMALL = {"convnet": 8, "MobileNet": 32}
"""Networks that are built soon, and the least side of an image that they take."""
SLOW = {
    "MobileNetV2": 32,
    "EfficientNetB0": 32,
    "VGG16": 32,
    "VGG19": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "ResNetRS50": 32,
    "ResNeXt50": 32,
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
    "DenseNet121": 32,
    "Xception": 71,
    "NASNetMobile": 32,
    "MobileNetV3Small": 32,
    "EfficientNetV2B0": 32,
    "ConvNeXtTiny": 32,
    "RegNetX002": 32,
    "RegNetY002": 32,
}
"""The smallest network of every other family."""


@pytest.mark.parametrize("how", ["auto", "rescale", "rescale_signed", "standardize", "none"])
def test_normalization_reaches_its_range(how):
    layer = normalization.layer(TransformConfig(normalization=how), ([127.5] * 3, [73.9] * 3))
    low, high = layer(tf.constant([[[[0] * 3]], [[[255] * 3]]], tf.uint8)).numpy()[:, 0, 0, 0]
    expected = {"rescale_signed": (-1, 1), "standardize": (-1.725, 1.725), "none": (0, 255)}
    assert (low, high) == pytest.approx(expected.get(how, (0, 1)), abs=1e-3)


@pytest.mark.parametrize("architecture", ["MobileNetV2", "ResNet50", "DenseNet121", "EfficientNetB0", "VGG16"])
def test_auto_gives_a_network_what_its_published_weights_expect(architecture):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    module = {
        "MobileNetV2": tf.keras.applications.mobilenet_v2,
        "ResNet50": tf.keras.applications.resnet50,
        "DenseNet121": tf.keras.applications.densenet,
        "EfficientNetB0": tf.keras.applications.efficientnet,
        "VGG16": tf.keras.applications.vgg16,
    }[architecture]
    got = normalization.normalize(tf.constant(pixels), TransformConfig(), architecture, None)
    assert got.numpy() == pytest.approx(module.preprocess_input(pixels.astype(np.float32)), abs=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("architecture", SMALL)
def test_every_family_trains_and_serves(architecture, channels, split_of, tmp_path):
    builds_trains_exports_and_serves(architecture, SMALL[architecture], channels, split_of, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", SLOW)
def test_every_other_family_trains_and_serves(architecture, split_of, tmp_path):
    builds_trains_exports_and_serves(architecture, SLOW[architecture], 3, split_of, tmp_path)


def test_every_family_of_keras_is_among_them():
    pattern = r"ConvNeXt|DenseNet|EfficientNet(V2|B)|Inception(ResNet)?V|MobileNet(V2|V3)?|NASNet|RegNet[XY]"
    pattern += r"|ResNet(RS)?\d+(V2)?|VGG|Xception"
    family = lambda name: re.sub(r"\d{2,}", "", re.match(pattern, name).group())  # noqa: E731
    assert {family(name) for name in APPLICATIONS} <= {
        family(name) for name in {**SMALL, **SLOW} if name in APPLICATIONS
    }


def builds_trains_exports_and_serves(architecture, side, channels, split_of, folder):
    transform = TransformConfig(height=side, width=side, channels=channels)
    train = split_of(transform)
    settings = TrainingSettings(
        transform=transform,
        model=ModelConfig(architecture=architecture, hidden_units=0),
        trainer=TrainerConfig(epochs=1, batch_size=4, optimizer="sgd", learning_rate=1e-3, warmup=0),
    )
    model = compiled_model(settings, train)
    before = model.trainable_weights[0].numpy()
    pixels = np.random.default_rng(0).integers(0, 256, (4, side, side, channels), dtype=np.uint8)
    loss, _ = model.train_on_batch(pixels, tf.one_hot([0, 1, 2, 0], 3))
    assert np.isfinite(loss) and (model.trainable_weights[0].numpy() != before).any()
    # The exporter's way: a function of a tf.Module, without Keras's own serialization.
    served = tf.Module()
    served.weights = model.variables
    served.predict = tf.function(
        lambda images: model(images, training=False),
        input_signature=[tf.TensorSpec([None, *pixels.shape[1:]], tf.uint8)],
    )
    tf.saved_model.save(served, str(folder / "model"))
    loaded = tf.saved_model.load(str(folder / "model"))
    probabilities = loaded.predict(pixels[:1]).numpy()
    assert probabilities == pytest.approx(model.predict_on_batch(pixels[:1]), abs=1e-5)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_unknown_architecture_names_the_nearest():
    with pytest.raises(ValueError, match=r"'Rezznet50' is no known architecture; did you mean ResNet50\?"):
        ModelConfig(architecture="Rezznet50")


def test_known_architectures_are_those_of_keras():
    assert [name for name in dir(tf.keras.applications) if name[0].isupper()] == APPLICATIONS


def build(**settings) -> tf.keras.Model:
    return models.build_model(ModelConfig(**settings), TransformConfig(height=8, width=8), 3)


def test_too_many_groups_for_the_image_are_refused():
    with pytest.raises(ValueError, match=r"model\.filters has 6 groups"):
        build(filters=[8] * 6)


def test_the_handbooks_convnet_can_be_written_down():
    """Part 9: two convolutions of 32 and 64, one pooling, 128 hidden units, nothing against overfitting."""
    model = build(filters=[[32, 64]], batch_normalization=False, dropout=0, hidden_units=128)
    convolutions = [layer.filters for layer in model.get_layer("backbone").layers if hasattr(layer, "filters")]
    assert convolutions == [32, 64] and model.get_layer("bottleneck").output_shape == (None, 4 * 4 * 64)


def test_an_own_network_is_taken_by_its_import_path(monkeypatch, tmp_path):
    (tmp_path / "my_networks.py").write_text(
        "import tensorflow as tf\n"
        "def tiny(images, config):\n"
        "    return tf.keras.layers.Conv2D(config.filters[0], 3, activation=config.activation)(images)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = build(architecture="my_networks.tiny", filters=[5], hidden_units=0)
    assert model.name == "tiny" and model.get_layer("bottleneck").output_shape == (None, 5)


@pytest.mark.parametrize("path", ["no_such_module.network", "trainer_module.models.no_such_network"])
def test_an_own_network_that_is_not_there_is_told(path):
    with pytest.raises(ValueError, match=rf"model\.architecture {path} cannot be imported"):
        build(architecture=path)


def test_an_image_too_small_for_a_network_is_told_with_the_setting():
    with pytest.raises(ValueError, match=r"InceptionV3 does not fit: .*75.*; see transform\.height"):
        build(architecture="InceptionV3")


@pytest.mark.parametrize(("pooling", "width"), [("average", 4), ("max", 4), ("flatten", 4 * 4 * 4), ("auto", 64)])
def test_pooling_of_the_head(pooling, width):
    assert build(filters=[4], pooling=pooling).get_layer("bottleneck").output_shape == (None, width)


def test_hidden_layers_are_in_order_and_none_without_units():
    model = build(filters=[4], hidden_units=[7, 0, 5])
    assert [model.get_layer(name).units for name in ("hidden", "hidden2")] == [7, 5]
    assert "hidden" not in [layer.name for layer in build(filters=[4], hidden_units=0).layers]


@pytest.mark.parametrize(
    ("activation", "chosen", "expected"),
    [("relu", "auto", "HeNormal"), ("tanh", "auto", "GlorotNormal"), ("selu", "auto", "LecunNormal"),
     ("relu", "glorot_uniform", "GlorotUniform")],
)  # fmt: skip
def test_initializers_follow_the_activation_unless_one_is_chosen(activation, chosen, expected):
    model = build(filters=[4], activation=activation, initializer=chosen)
    for layer in (model.get_layer("hidden"), model.get_layer("backbone").get_layer("group1a")):
        assert type(layer.kernel_initializer).__name__ == expected


def test_l2_is_the_sum_of_the_squares_of_all_kernels_and_reaches_the_backbone():
    model = build(filters=[4], hidden_units=5, l2=0.1)
    kernels = [weight for weight in model.weights if "kernel" in weight.name]
    assert len(kernels) == 3
    expected = 0.1 * sum(np.square(kernel.numpy()).sum() for kernel in kernels)
    assert sum(float(loss) for loss in model.losses) == pytest.approx(expected, rel=1e-5)
    kernels[0].assign(0 * kernels[0])
    assert sum(float(loss) for loss in model.losses) < expected, "it follows the weights"


def test_balanced_classes_count_the_same_in_total():
    weights = balanced_weights(np.array([10, 30, 0]))
    assert weights[:2] * [10, 30] == pytest.approx([20, 20])


def test_weights_of_images_follow_their_labels_into_training(split):
    skewed = dataclasses.replace(split, labels=np.array([0] * 40 + [1] * 5 + [2] * 5))
    change = batch_changes(TrainingSettings(trainer=TrainerConfig(class_weights="balanced")), skewed)
    labels = tf.constant([[1.0, 0, 0], [0, 0.5, 0.5]])
    _, same, weights = change(tf.constant(0, tf.int64), tf.zeros([2, 6, 5, 1], tf.uint8), labels)
    assert weights.numpy() == pytest.approx([50 / 120, 50 / 15]) and same is labels


def test_a_short_training_is_evaluated_with_its_own_statistics(split_of):
    transform = TransformConfig(height=32, width=32)
    settings = TrainingSettings(
        transform=transform,
        model=ModelConfig(architecture="MobileNet"),
        trainer=TrainerConfig(epochs=25, batch_size=2),
    )
    momenta = {
        layer.momentum
        for layer in compiled_model(settings, split_of(transform)).get_layer("backbone").layers
        if isinstance(layer, tf.keras.layers.BatchNormalization)
    }
    assert momenta == {0.9}, "100 steps"


def test_mixed_precision_computes_small_and_answers_in_float32(split):
    settings = TrainingSettings(
        transform=split.transform, model=ModelConfig(filters=[4]), trainer=TrainerConfig(mixed_precision=True)
    )
    try:
        model = compiled_model(settings, split)
        convolution = model.get_layer("backbone").get_layer("group1a")
        assert convolution.compute_dtype == "bfloat16" and convolution.dtype == "float32"
        assert model.get_layer("probabilities").compute_dtype == "float32"
        loss, _ = model.train_on_batch(np.zeros((2, 6, 5, 1), np.uint8), tf.one_hot([0, 1], 3))
        assert np.isfinite(loss)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")


def test_xla_trains_as_without(split):
    losses = []
    for xla in (False, True):
        tf.keras.utils.set_random_seed(1)
        settings = TrainingSettings(
            transform=split.transform,
            model=ModelConfig(filters=[4], dropout=0),
            trainer=TrainerConfig(xla=xla, epochs=1, batch_size=4),
        )
        model = compiled_model(settings, split)
        pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 1), dtype=np.uint8)
        losses.append([model.train_on_batch(pixels, tf.one_hot([0, 1, 2, 0], 3))[0] for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_standardize_image_gives_each_image_zero_mean_and_unit_deviation():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8) // [[[[1]]], [[[4]]]]
    values = normalization.layer(TransformConfig(normalization="standardize_image"), None)(pixels).numpy()
    assert values.mean(axis=(1, 2, 3)) == pytest.approx([0, 0], abs=1e-4)
    assert values.std(axis=(1, 2, 3)) == pytest.approx([1, 1], abs=1e-4)
