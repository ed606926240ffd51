"""The network with its loss, metric and optimizer, from a seed."""

import tensorflow as tf

from trainer_module import data, feeding
from trainer_module.models import build_model
from trainer_module.optimizers import build_optimizer
from trainer_module.settings import TrainingSettings
from trainer_module.strategies import is_asynchronous
from trainer_module.transfer import freezes_normalization, load_backbone, phases, set_trainable


def make_reproducible(seed: int) -> None:
    """Seeds everything random; layers draw from generators whose state a checkpoint can hold."""
    tf.keras.utils.set_random_seed(seed)
    tf.keras.backend.experimental.enable_tf_random_generator()


def compiled_model(settings: TrainingSettings, train: data.Split) -> tf.keras.Model:
    """The network, compiled, with an optimizer whose schedule spans the training."""
    config = settings.trainer
    tf.keras.mixed_precision.set_global_policy(precision_policy() if config.mixed_precision else "float32")
    moments = data.channel_moments(train) if train.transform.normalization == "standardize" else None
    given = settings.transfer.weights
    imagenet = given == "imagenet"
    model = build_model(settings.model, train.transform, train.classes, moments, imagenet=imagenet)
    if given and not imagenet:
        load_backbone(model, given, settings.transfer.sha256)
    steps = feeding.steps_per_epoch(train, config)
    shorten_memory(model, steps * config.epochs)
    plan = phases(settings.transfer, model, config.epochs)
    if freezes_normalization(settings.transfer):
        set_trainable(model, plan[-1])
    model.compile(
        optimizer=build_optimizer(
            config, steps * config.epochs, steps, [(phase.first_epoch * steps, phase.rate) for phase in plan]
        ),
        loss=tf.keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing),
        metrics=["accuracy"],
        jit_compile=config.xla or None,
        # Evaluation on one worker, which sees each image once; more could not have fewer files than they are.
        pss_evaluation_shards=1 if is_asynchronous(tf.distribute.get_strategy()) else 0,
    )
    # Each of several workers has the metrics of all; within an epoch Keras would show the sum of them.
    model.distribute_reduction_method = "first"
    # All that is ever trained, so that the state of the optimizer has one form throughout.
    model.optimizer.build(model.trainable_variables)
    return model


def shorten_memory(model: tf.keras.Model, steps: int) -> None:
    """Has batch normalization forget the statistics of the first tenth of a training of so many steps.

    The networks of tf.keras.applications remember up to a thousand steps, which is right for ImageNet; in a short
    training, such as a trial of a search, they would be evaluated with the statistics of their random weights.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, max(1 - 10 / steps, 0.5))


def precision_policy() -> str:
    """float16 on GPUs, where the loss is scaled; bfloat16 elsewhere, which needs no scaling."""
    return "mixed_float16" if tf.config.list_physical_devices("GPU") else "mixed_bfloat16"
