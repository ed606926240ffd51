"""The networks: the handbook's ConvNets, ResNeXt, every architecture of tf.keras.applications, and your own."""

import importlib
from collections.abc import Callable

import tensorflow as tf

from trainer_module import resnext
from trainer_module.model_config import APPLICATIONS, ModelConfig
from trainer_module.normalization import Moments, brings_normalization, normalize
from transform.config import TransformConfig

BACKBONE = "backbone"
"""Name of the layer that holds the network without its head."""


def build_model(
    model: ModelConfig,
    transform: TransformConfig,
    classes: int,
    moments: Moments | None = None,
    *,
    imagenet: bool = False,
) -> tf.keras.Model:
    """Pixels → probabilities, uncompiled; normalization is its first layer.

    Args:
      model: the network's settings.
      transform: the input's shape and normalization.
      classes: number of classes.
      moments: mean and deviation per channel, for `normalization: standardize`.
      imagenet: begin with the weights that Keras publishes for a network of tf.keras.applications; downloads them.

    Returns:
      A model from uint8 [batch, height, width, channels] to float32 [batch, classes].

    Raises:
      ValueError: the network does not fit the image size, or cannot be imported.
    """
    layers = tf.keras.layers
    pixels = layers.Input((transform.height, transform.width, transform.channels), dtype=tf.uint8, name="pixels")
    x = normalize(pixels, transform, model.architecture, moments)
    backbone = build_backbone(x.shape[1:], model, imagenet=imagenet, rescale=transform.normalization == "auto")
    features = head(backbone(x), model)
    # Probabilities stay in float32 under mixed precision, or small ones are lost.
    output = layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")
    network = tf.keras.Model(pixels, output(features), name=model.architecture.rpartition(".")[2])
    if model.l2:
        penalize_weights(network, model.l2)
    return network


def build_backbone(
    shape: tuple[int, int, int], model: ModelConfig, *, imagenet: bool = False, rescale: bool = True
) -> tf.keras.Model:
    """The network without its head: normalized images, float32 [batch, *shape], → feature maps or features.

    Args:
      shape: of an image.
      model: the settings.
      imagenet: begin with the weights of ImageNet, or with random ones.
      rescale: let those networks normalize the images that can.

    Raises:
      ValueError: as `build_model`.
    """
    if model.architecture in APPLICATIONS:
        backbone = application(shape, model.architecture, imagenet=imagenet, rescale=rescale)
        backbone._name = BACKBONE
        return backbone
    images = tf.keras.layers.Input(shape)
    if model.architecture == "convnet":
        features = convnet(images, model)
    elif model.architecture in resnext.BLOCKS:
        features = resnext.resnext(images, model.architecture)
    else:
        features = own_network(model.architecture)(images, model)
    return tf.keras.Model(images, features, name=BACKBONE)


def head(x: tf.Tensor, model: ModelConfig) -> tf.Tensor:
    """Pooling, hidden layers and dropout. Feature maps or features → float32 [batch, features]."""
    layers = tf.keras.layers
    if len(x.shape) == 4:
        pooling = model.pooling
        if pooling == "auto":
            pooling = "flatten" if model.architecture == "convnet" else "average"
        pools = {"average": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D, "flatten": layers.Flatten}
        x = pools[pooling](name="bottleneck")(x)
    for number, units in enumerate(model.hidden_layers, 1):
        name = "hidden" if number == 1 else f"hidden{number}"
        x = layers.Dense(units, kernel_initializer=initializer(model), name=name)(x)
        x = layers.Activation(activation(model), name=f"{name}_{model.activation}")(x)
    return layers.Dropout(model.dropout, name="dropout")(x)


def activation(model: ModelConfig) -> str | Callable[[tf.Tensor], tf.Tensor]:
    """The activation as Keras knows it."""
    return tf.nn.leaky_relu if model.activation == "leaky_relu" else model.activation


def initializer(model: ModelConfig) -> str:
    """He et al. (2015) for ReLU and what behaves like it, Glorot and Bengio (2010) for tanh, LeCun for SELU."""
    if model.initializer != "auto":
        return model.initializer
    return {"tanh": "glorot_normal", "selu": "lecun_normal"}.get(model.activation, "he_normal")


def convnet(x: tf.Tensor, model: ModelConfig) -> tf.Tensor:
    """The handbook's ConvNets: groups of convolutions, each with pooling and dropout.

    float32 [batch, h, w, c] → float32 [batch, h / 2ⁿ, w / 2ⁿ, filters] after n groups.
    """
    layers = tf.keras.layers
    for group, filters in enumerate(model.filters, 1):
        widths = filters if isinstance(filters, list) else [filters] * model.convolutions
        for part, width in zip("abcdefgh", widths, strict=False):
            name = f"group{group}{part}"
            x = layers.Conv2D(
                width,
                3,
                padding="same",
                use_bias=not model.batch_normalization,
                kernel_initializer=initializer(model),
                name=name,
            )(x)
            if model.batch_normalization:
                x = layers.BatchNormalization(name=f"{name}_normalization")(x)
            x = layers.Activation(activation(model), name=f"{name}_{model.activation}")(x)
        if min(x.shape[1], x.shape[2]) < 2:
            raise ValueError(f"model.filters has {len(model.filters)} groups, too many for so small an image")
        x = layers.MaxPooling2D(name=f"group{group}_pool")(x)
        x = layers.Dropout(model.dropout / 2, name=f"group{group}_dropout")(x)
    return x


def application(shape: tuple[int, int, int], architecture: str, *, imagenet: bool, rescale: bool) -> tf.keras.Model:
    """A network of tf.keras.applications without its classifier.

    Raises:
      ValueError: the images are too small for it, or the weights cannot be had.
    """
    constructor = getattr(tf.keras.applications, architecture)
    options = {} if rescale or not brings_normalization(architecture) else {"include_preprocessing": False}
    try:
        return constructor(include_top=False, weights="imagenet" if imagenet else None, input_shape=shape, **options)
    except ValueError as error:
        raise ValueError(f"{architecture} does not fit: {error}; see transform.height and width") from error
    except Exception as error:
        if not imagenet:
            raise
        raise ValueError(
            f"the ImageNet weights of {architecture} cannot be downloaded ({error}); give transfer.weights a file"
        ) from error


def own_network(path: str) -> Callable[[tf.Tensor, ModelConfig], tf.Tensor]:
    """A function by its import path.

    Raises:
      ValueError: there is none.
    """
    module, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model.architecture {path} cannot be imported: {error}") from error


def penalize_weights(model: tf.keras.Model, l2: float) -> None:
    """Adds the sum of the squares of all kernels, times `l2`, to the loss; it reaches into nested networks."""
    for layer in model._flatten_layers(include_self=False):
        for name in ("kernel", "depthwise_kernel", "pointwise_kernel"):
            kernel = getattr(layer, name, None)
            if isinstance(kernel, tf.Variable):
                layer.add_loss(_penalty(kernel, l2))


def _penalty(kernel: tf.Variable, l2: float) -> Callable[[], tf.Tensor]:
    return lambda: l2 * tf.reduce_sum(tf.square(tf.cast(kernel, tf.float32)))
