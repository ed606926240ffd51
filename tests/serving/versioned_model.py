"""Writes SavedModels whose label is their version: what answered can be told from the answer. Usage: FOLDER VERSION…"""

import os
import sys

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf

SIZE, CLASSES = 64, 10


class Versioned(tf.Module):
    """A small network on pictures of 64 × 64 pixels, with the signatures of the trainer's export."""

    def __init__(self, version: int) -> None:
        super().__init__()
        tf.keras.utils.set_random_seed(version)
        layers = tf.keras.layers
        self.network = tf.keras.Sequential(
            [
                layers.Input((SIZE, SIZE, 3)),
                layers.Conv2D(16, 3, 2, activation="relu"),
                layers.Conv2D(32, 3, 2, activation="relu"),
                layers.Conv2D(64, 3, 2, activation="relu"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(CLASSES, activation="softmax"),
            ]
        )
        self.label = tf.constant(f"v{version}")
        self.classes = tf.constant([f"class {index}" for index in range(CLASSES)])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image")])
    def serving_default(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        def pixels(encoded: tf.Tensor) -> tf.Tensor:
            decoded = tf.io.decode_image(encoded, channels=3, expand_animations=False)
            return tf.image.resize(tf.cast(decoded, tf.float32) / 255, [SIZE, SIZE])

        batch = tf.map_fn(pixels, image, fn_output_signature=tf.TensorSpec([SIZE, SIZE, 3], tf.float32))
        probabilities = self.network(batch)
        rows = tf.shape(image)[0]
        return {
            "label": tf.fill([rows], self.label),
            "probability": tf.reduce_max(probabilities, 1),
            "classes": tf.tile(self.classes[tf.newaxis], [rows, 1]),
            "probabilities": probabilities,
        }


if __name__ == "__main__":
    for number in map(int, sys.argv[2:]):
        model = Versioned(number)
        signatures = {"serving_default": model.serving_default}
        tf.saved_model.save(model, f"{sys.argv[1]}/{number}", signatures=signatures)
