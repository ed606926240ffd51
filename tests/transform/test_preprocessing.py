"""One graph: analysed by TFT, materialised for training, and exported with the model."""

import itertools
import json
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from PIL import Image
from tensorflow.core.framework import node_def_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_transform.tf_metadata import dataset_metadata, schema_utils

from tests.transform.pictures import encode, noise, peak_memory, photo, smooth, turned
from trainer_module import export, normalization
from transform import features, reading
from transform.config import TransformConfig, to_json
from transform.preprocessing import UNUSABLE, preprocessing_fn

CONFIG = TransformConfig(height=24, width=20, normalization="standardize", steps=["orient", "flatten", "resize", "pad"])


def assorted(count: int) -> list[bytes]:
    """Images of all kinds and of 1 × 1 to 900 × 1,100 pixels."""
    random, large = np.random.default_rng(0), photo(900, 1100)
    made: list[bytes] = []
    for number in range(count):
        height, width = (int(side) for side in random.integers(1, 90, 2))
        image = smooth(height, width) if number % 2 else noise(height, width, seed=number)
        match number % 12:
            case 0:
                made.append(encode(large[: 800 + number // 12, : 1000 + number // 12], "JPEG"))
            case 1 | 2 | 3:
                made.append(turned(image, number % 8 + 1))
            case 4:
                made.append(encode(image, "PNG"))
            case 5:
                made.append(encode(noise(height, width, 4), "PNG"))
            case 6:
                made.append(encode(image[..., :1], "PNG"))
            case 7:
                made.append(encode(Image.fromarray(image).quantize(99), "GIF"))
            case 8:
                made.append(encode(image, "BMP"))
            case 9:
                made.append(encode(image, "WEBP", lossless=number % 24 < 12))
            case 10:
                made.append(encode(Image.fromarray(image).convert("CMYK"), "JPEG"))
            case 11:
                made.append(tf.io.encode_png(np.uint16(image) * 257).numpy())
    return made


class Transformed(NamedTuple):
    images: list[bytes]
    rows: list[dict[str, np.ndarray]]
    """What training reads, in order."""
    output: tft.TFTransformOutput


def transform(images: list[bytes], config: TransformConfig, folder: str) -> Transformed:
    """Analyses and transforms images of classes 0, 1 and 2 with TFT."""
    data = [
        {features.IMAGE: [image], features.LABEL: [b"%d" % (number % 3)], features.PATH: [b"%d.jpg" % number]}
        for number, image in enumerate(images)
    ]
    spec = {name: tf.io.FixedLenFeature([1], tf.string) for name in data[0]}
    metadata = dataset_metadata.DatasetMetadata(schema_utils.schema_from_feature_spec(spec))
    settings = {"transform": to_json(config)}
    with tft_beam.Context(temp_dir=tempfile.mkdtemp(dir=folder)):
        (rows, _), function = (data, metadata) | tft_beam.AnalyzeAndTransformDataset(
            lambda inputs: preprocessing_fn(inputs, settings)
        )
        written = os.path.join(tempfile.mkdtemp(dir=folder), "graph")
        _ = function | tft_beam.WriteTransformFn(written)
    return Transformed(images, rows, tft.TFTransformOutput(written))


@pytest.fixture(scope="module")
def transformed(tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    return transform(assorted(500), CONFIG, str(tmp_path_factory.mktemp("transformed")))


@pytest.fixture(scope="module")
def model(transformed: Transformed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported model, with a network whose probabilities are the pixels it was given."""
    folder = tmp_path_factory.mktemp("model")
    export.save(reveals_its_input(CONFIG), transformed.output, CONFIG, names(CONFIG), str(folder))
    return folder


def reveals_its_input(config: TransformConfig) -> tf.keras.Model:
    pixels = tf.keras.Input((config.height, config.width, config.channels), dtype=tf.uint8)
    return tf.keras.Model(pixels, tf.keras.layers.Flatten()(tf.keras.layers.Rescaling(1.0)(pixels)))


def names(config: TransformConfig) -> list[str]:
    return [str(number) for number in range(config.height * config.width * config.channels)]


def served(model: Path, images: list[bytes]) -> dict[str, np.ndarray]:
    answer = tf.saved_model.load(str(model)).signatures["serving_default"](tf.constant(images))
    return {name: value.numpy() for name, value in answer.items()}


def nodes_of(model: Path) -> list[node_def_pb2.NodeDef]:
    """Every operation of the saved graph and of its functions."""
    saved = saved_model_pb2.SavedModel.FromString((model / "saved_model.pb").read_bytes())
    [graph] = saved.meta_graphs
    functions = (one.node_def for one in graph.graph_def.library.function)
    return list(itertools.chain(graph.graph_def.node, *functions))


def test_training_and_serving_see_the_same_pixels_to_the_bit(transformed, model):
    trained = np.stack([np.frombuffer(row[features.PIXELS], np.uint8) for row in transformed.rows])
    loaded = tf.saved_model.load(str(model))
    for size in (1, 7, 500):
        answers = [
            loaded.signatures["serving_default"](tf.constant(transformed.images[start : start + size]))
            for start in range(0, 500 if size > 1 else 40, size)
        ]
        seen = np.concatenate([answer["probabilities"] for answer in answers])
        assert (seen == trained[: len(seen)]).all(), f"in batches of {size}"
        assert all((answer["status"] == b"").numpy().all() for answer in answers)
    examples = [
        tf.train.Example(
            features=tf.train.Features(
                feature={features.IMAGE: tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))}
            )
        ).SerializeToString()
        for image in transformed.images
    ]
    assert (loaded.signatures["examples"](tf.constant(examples))["probabilities"] == trained).numpy().all()


def test_training_reads_one_byte_per_sample(transformed):
    assert {len(row[features.PIXELS]) for row in transformed.rows} == {24 * 20 * 3}
    assert {int(row[features.CLASS_INDEX]) for row in transformed.rows} == {0, 1, 2}


def test_moments_are_those_of_every_pixel_of_the_split(transformed):
    pixels = np.stack([np.frombuffer(row[features.PIXELS], np.uint8).reshape(-1, 3) for row in transformed.rows])
    mean, deviation = pixels.mean((0, 1), np.float64), pixels.std((0, 1), np.float64)
    for row in transformed.rows[:: len(transformed.rows) - 1]:
        assert row[features.CHANNEL_MEAN] == pytest.approx(mean, rel=1e-5)
        assert row[features.CHANNEL_DEVIATION] == pytest.approx(deviation, rel=1e-5)


def test_standardized_training_split_has_zero_mean_and_unit_deviation_by_constants_of_the_graph(transformed, tmp_path):
    row = transformed.rows[0]
    moments = row[features.CHANNEL_MEAN].tolist(), row[features.CHANNEL_DEVIATION].tolist()
    pixels = tf.keras.Input((CONFIG.height, CONFIG.width, CONFIG.channels), dtype=tf.uint8)
    standardized = tf.keras.layers.Flatten()(normalization.layer(CONFIG, moments)(pixels))
    model = tf.keras.Model(pixels, standardized)
    export.save(model, transformed.output, CONFIG, names(CONFIG), str(tmp_path))
    values = served(tmp_path, transformed.images)["probabilities"].reshape(-1, 3)
    assert values.mean(0, np.float64) == pytest.approx([0] * 3, abs=1e-3)
    assert values.std(0, np.float64) == pytest.approx([1] * 3, abs=1e-3)
    constants = [tf.make_ndarray(node.attr["value"].tensor) for node in nodes_of(tmp_path) if node.op == "Const"]
    mean = row[features.CHANNEL_MEAN]
    assert any(constant.size == 3 and np.array_equal(constant.ravel(), mean) for constant in constants)


def gif_of_gigabytes() -> bytes:
    """About 770 KB that a decoder of all frames expands to 3 GB."""
    one = encode(Image.new("P", (4000, 4000)), "GIF")
    start = one.index(b"\x2c\0\0\0\0", 13)
    picture = one[start:-1]
    return one[:start] + picture * (770_000 // len(picture)) + b";"


def test_bad_images_are_marked_their_neighbours_answered_and_memory_stays_small(transformed, model):
    from tests.transform.test_limits import png_header

    good, bomb = transformed.images[:2], gif_of_gigabytes()
    gigapixel = bomb[:6] + b"\xff\xff\xff\xff" + bomb[10:]
    batch = [good[0], bomb, gigapixel, png_header(20_000, 20_000), good[0][:-900], b"some text", good[1]]
    expected = served(model, good)
    peak_memory()
    before = peak_memory()
    answer = served(model, batch)
    assert peak_memory() - before < 200e6
    assert answer["status"].tolist() == [
        b"",
        b"",  # The first of its pictures is an image like any other.
        b"is 65535 x 65535 pixels; at most 64000000 in all are taken",
        b"is 20000 x 20000 pixels; at most 64000000 in all are taken",
        b"is a damaged or truncated JPEG",
        b"is neither a JPEG, PNG, GIF, BMP nor a WebP",
        b"",
    ]
    assert (answer["probabilities"][[0, 6]] == expected["probabilities"]).all()
    for bad in (2, 3, 4, 5):
        assert not answer["probabilities"][bad].any()
        assert (answer["label"][bad], answer["probability"][bad]) == (b"", 0)


def test_a_request_fails_as_a_whole_when_that_is_the_policy(transformed, tmp_path):
    config = TransformConfig(**{**to_json(CONFIG), "on_bad_image": "fail"})
    export.save(reveals_its_input(config), transformed.output, config, names(config), str(tmp_path))
    assert served(tmp_path, transformed.images[:2])["label"].all()
    with pytest.raises(tf.errors.InvalidArgumentError, match="image 1 is neither a JPEG"):
        served(tmp_path, [transformed.images[0], b"some text"])


def test_the_exported_graph_holds_tensorflows_own_operations_and_no_file_but_the_classes(model):
    used = {node.op for node in nodes_of(model)}
    # tf.raw_ops has what TensorFlow itself registers, unlike the registry, which has what any library added.
    assert {name for name in used if not hasattr(tf.raw_ops, name)} == set()
    assert {"DecodeJpeg", "DecodePng", "DecodeGif", "DecodeBmp", "DecodeWebP"} <= used
    assert [file.name for file in (model / "assets").iterdir()] == [features.VOCABULARY]


def test_transform_stops_at_an_image_that_cannot_be_used_and_names_it(tmp_path):
    images = [encode(noise(9, 9), "PNG") for _ in range(5)]
    images[3] = images[3][:80]
    with pytest.raises(Exception, match=f"{UNUSABLE}3.jpg is a damaged or truncated PNG"):
        transform(images, CONFIG, str(tmp_path))


def test_a_class_that_the_training_split_lacks_is_an_error(transformed):
    layer = transformed.output.transform_features_layer()

    def index(label: bytes) -> list[int]:
        [image] = transformed.images[4:5]
        inputs = {features.IMAGE: [[image]], features.LABEL: [[label]], features.PATH: [[b"a.jpg"]]}
        return (
            layer({name: tf.constant(value) for name, value in inputs.items()})[features.CLASS_INDEX].numpy().tolist()
        )

    assert [index(b"2"), index(b"1"), index(b"0")] == [[0], [1], [2]], "by name alone, reverse alphabetical"
    with pytest.raises(tf.errors.InvalidArgumentError, match="is of class 7, which the training split does not"):
        index(b"7")


@pytest.mark.usefixtures("transformed")
def test_images_are_traced_once_for_all_of_tfts_traces():
    # By the module's name: TFX loads the module anew when a pipeline ran in this process.
    traces = reading._reader.cache_info().misses
    reading._reader(json.dumps(to_json(CONFIG)))
    assert reading._reader.cache_info().misses == traces
