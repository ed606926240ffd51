"""The saved model: the transform's graph, the network and the class names, in one."""

import functools
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.saved.saved_transform_io_v2 import SavedModelLoader

from trainer_module.warm_start import weights_by_path
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
        # Without its optimizer, whose variables are twice the size of the network's.
        network = tf.keras.Model(model.input, model.output, name=model.name)
        self.weights = weights_by_path(network)
        # No attribute: Keras would trace and write each of its layers, which takes longer than all the rest. For the
        # same reason it is TFT's loader, whose tables are tracked as TFT's layer tracks them.
        self._predict = functools.partial(network, training=False)
        loader = SavedModelLoader(transform_output.transform_savedmodel_dir)
        self._apply, self.tables = loader.apply_transform_model, vars(loader)
        self.classes = tf.constant(list(classes))
        self._transform = transform
        self._raw_spec = {features.IMAGE: tf.io.FixedLenFeature([1], tf.string)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
    def classify_images(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """string [batch], encoded images → label, probability, status [batch]; classes, probabilities [batch, classes].

        The status of an image that cannot be used says why; its label is "" and its probabilities are 0.
        """
        return self._classify({features.IMAGE: image[:, tf.newaxis]}, "classes")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def classify_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """string [batch], serialized tf.Examples → the same; `all_classes` is TFMA's name for `classes`."""
        return self._classify(tf.io.parse_example(examples, self._raw_spec), "all_classes")

    def _classify(self, raw: dict[str, tf.Tensor], classes_name: str) -> dict[str, tf.Tensor]:
        transformed = self._apply(raw)
        status = transformed[features.STATUS]
        if self._transform.on_bad_image == "fail":
            status = refuse_bad(status)
        good = tf.equal(status, "")
        probabilities = self._predict(ops.unpack(transformed[features.PIXELS], self._transform))
        probabilities = tf.where(good[:, tf.newaxis], probabilities, 0.0)
        batch = tf.shape(probabilities)[0]
        return {
            "label": tf.where(good, tf.gather(self.classes, tf.argmax(probabilities, axis=1)), ""),
            "probability": tf.reduce_max(probabilities, axis=1),
            "probabilities": probabilities,
            "status": status,
            classes_name: tf.tile(self.classes[tf.newaxis], [batch, 1]),
        }


def refuse_bad(status: tf.Tensor) -> tf.Tensor:
    """Fails the whole request when one image of it is bad, naming the first. string [batch] → string [batch]."""
    bad = tf.where(tf.not_equal(status, ""))[:, 0]
    first = tf.strings.join(["image ", tf.strings.as_string(bad[:1]), " ", tf.gather(status, bad[:1])])
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(tf.size(bad), 0), [first])]):
        return tf.identity(status)


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
