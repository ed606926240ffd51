"""The peer's user code: decode, resize and scale in the Transform graph, and the same network as ours."""

import os

import tensorflow as tf
import tensorflow_transform as tft
from tfx_bsl.public import tfxio

SIZE = int(os.environ.get("STOCK_SIZE", "28"))
CHANNELS = int(os.environ.get("STOCK_CHANNELS", "1"))


def preprocessing_fn(inputs):
    def decode(encoded):
        image = tf.io.decode_image(encoded, channels=CHANNELS, expand_animations=False)
        image.set_shape([None, None, CHANNELS])
        return tf.image.resize_with_pad(tf.cast(image, tf.float32), SIZE, SIZE, method="area") / 255.0

    images = tf.map_fn(
        decode, tf.reshape(inputs["image"], [-1]), fn_output_signature=tf.TensorSpec([SIZE, SIZE, CHANNELS], tf.float32)
    )
    labels = tft.compute_and_apply_vocabulary(tf.reshape(inputs["label"], [-1]), vocab_filename="labels")
    return {"image_xf": images, "label_xf": labels}


def batches(files, accessor, transform_output):
    dataset = accessor.tf_dataset_factory(
        files,
        tfxio.TensorFlowDatasetOptions(batch_size=128, label_key="label_xf"),
        transform_output.transformed_metadata.schema,
    )
    return dataset.map(lambda x, y: (tf.reshape(x["image_xf"], [-1, SIZE, SIZE, 1]), tf.reshape(y, [-1]))).repeat()


def build_model(classes):
    layers = tf.keras.layers
    model = tf.keras.Sequential([layers.Input((SIZE, SIZE, 1))])
    for filters in (32, 64):
        model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal"))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
        model.add(layers.MaxPooling2D())
        model.add(layers.Dropout(0.125))
    model.add(layers.Flatten())
    model.add(layers.Dense(128, activation="relu"))
    model.add(layers.Dropout(0.25))
    model.add(layers.Dense(classes, activation="softmax"))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def run_fn(args):
    transform_output = tft.TFTransformOutput(args.transform_output)
    model = build_model(transform_output.vocabulary_size_by_name("labels"))
    model.fit(
        batches(args.train_files, args.data_accessor, transform_output),
        steps_per_epoch=args.train_steps,
        epochs=1,
        validation_data=batches(args.eval_files, args.data_accessor, transform_output),
        validation_steps=args.eval_steps,
        verbose=2,
    )
    model.tft = transform_output.transform_features_layer()
    spec = transform_output.raw_feature_spec()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(examples):
        without_label = {name: feature for name, feature in spec.items() if name != "label"}
        return {"probabilities": model(model.tft(tf.io.parse_example(examples, without_label))["image_xf"])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform_features(examples):
        return model.tft(tf.io.parse_example(examples, spec))

    signatures = {"serving_default": serve, "transform_features": transform_features}
    tf.saved_model.save(model, args.serving_model_dir, signatures=signatures)
