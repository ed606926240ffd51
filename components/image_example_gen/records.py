"""One image as a serialized tf.Example."""

import tensorflow as tf

from components.image_example_gen.facts import Facts
from components.image_example_gen.pixels import PERCEPTUAL_HASH
from transform import features


def serialize(facts: Facts, encoded: bytes) -> bytes:
    """Features → a serialized tf.Example with the image."""
    example = tf.train.Example()
    feature = example.features.feature
    feature[features.IMAGE].bytes_list.value.append(encoded)
    for name, value in facts.items():
        if name == PERCEPTUAL_HASH:  # of use only while duplicates are looked for
            continue
        if isinstance(value, bytes):
            feature[name].bytes_list.value.append(value)
        elif isinstance(value, float):
            feature[name].float_list.value.append(value)
        else:
            feature[name].int64_list.value.append(value)
    return example.SerializeToString(deterministic=True)
