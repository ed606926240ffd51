"""Writes a SavedModel with the signatures of the trainer's export, and some of other shapes and dtypes."""

import sys

import tensorflow as tf


class Traffic(tf.Module):
    """Says which colour of (red, green, blue) is strongest in a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = tf.constant(["red", "green", "blue"])
        self.gain = tf.Variable(4.0)

    def _classify(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        def strength(image: tf.Tensor) -> tf.Tensor:
            pixels = tf.io.decode_image(image, channels=3, expand_animations=False)
            return tf.reduce_mean(tf.cast(pixels, tf.float32) / 255, [0, 1])

        strengths = tf.map_fn(strength, images, fn_output_signature=tf.TensorSpec([3], tf.float32))
        probabilities = tf.nn.softmax(self.gain * strengths)
        empty = tf.equal(tf.reduce_sum(strengths, 1), 0)
        return {
            "label": tf.where(empty, "", tf.gather(self.classes, tf.argmax(probabilities, 1))),
            "status": tf.where(empty, "is black all over", ""),
            "probability": tf.reduce_max(probabilities, 1),
            "classes": tf.tile(self.classes[tf.newaxis], [tf.shape(images)[0], 1]),
            "probabilities": probabilities,
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image")])
    def serving_default(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._classify(image)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = tf.io.parse_example(examples, {"image": tf.io.FixedLenFeature([], tf.string)})
        return self._classify(features["image"])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def slow(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        """As long as a network takes, whatever the batch."""
        matrix = tf.random.stateless_uniform([700, 700], [1, 2])
        for _ in range(4):
            matrix = tf.matmul(matrix, matrix) / 700
        return {"y": x + 0 * matrix[0, 0], "batch": tf.fill(tf.shape(x), tf.size(x))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def double(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": 2 * x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def echo(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"text": text, "text_bytes": text}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 2], tf.int32, "pair"),
            tf.TensorSpec([None], tf.bool, "negate"),
        ]
    )
    def add(self, pair: tf.Tensor, negate: tf.Tensor) -> dict[str, tf.Tensor]:
        total = tf.reduce_sum(pair, 1)
        return {"sum": tf.where(negate, -total, total), "count": tf.size(pair)}


if __name__ == "__main__":
    model = Traffic()
    names = ("serving_default", "examples", "double", "echo", "add", "slow")
    tf.saved_model.save(model, sys.argv[1], signatures={name: getattr(model, name) for name in names})
