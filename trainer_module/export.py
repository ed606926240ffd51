"""The saved model: the transform's graph, the network and the class names, in one."""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_transform as tft

from transform import features, ops
from transform.config import TransformConfig


class Classifier(tf.Module):
    """Encoded image → class names and probabilities."""

    def __init__(
        self,
        model: tf.keras.Model,
        transform_output: tft.TFTransformOutput,
        transform: TransformConfig,
        classes: Sequence[str],
    ):
        super().__init__()
        self.model = model
        self.transform_layer = transform_output.transform_features_layer()
        self.classes = tf.constant(list(classes))
        self._transform = transform
        self._raw_spec = {features.IMAGE: tf.io.FixedLenFeature([1], tf.string)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def classify_images(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """string [batch], encoded images → label, probability [batch]; classes, probabilities [batch, classes]."""
        return self._classify({features.IMAGE: image[:, tf.newaxis]}, "classes")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def classify_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """string [batch], serialized tf.Examples → the same; `all_classes` is TFMA's name for `classes`."""
        return self._classify(tf.io.parse_example(examples, self._raw_spec), "all_classes")

    def _classify(self, raw: dict[str, tf.Tensor], classes_name: str) -> dict[str, tf.Tensor]:
        packed = self.transform_layer(raw)[features.PIXELS]
        probabilities = self.model(ops.unpack(packed, self._transform), training=False)
        batch = tf.shape(probabilities)[0]
        return {
            "label": tf.gather(self.classes, tf.argmax(probabilities, axis=1)),
            "probability": tf.reduce_max(probabilities, axis=1),
            "probabilities": probabilities,
            classes_name: tf.tile(self.classes[tf.newaxis], [batch, 1]),
        }


def save(
    model: tf.keras.Model,
    transform_output: tft.TFTransformOutput,
    transform: TransformConfig,
    classes: Sequence[str],
    directory: str,
) -> None:
    """Writes the saved model with the signatures `serving_default` and `examples`."""
    classifier = Classifier(model, transform_output, transform, classes)
    tf.saved_model.save(
        classifier,
        directory,
        signatures={"serving_default": classifier.classify_images, "examples": classifier.classify_examples},
    )
