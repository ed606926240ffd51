"""The Transform executor on its own: what it needs of the schema, what it writes, and how it stops."""

import json
from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.transform.executor import Executor, TransformError
from tests.transform.pictures import encode, noise
from transform import features
from transform.config import TransformConfig, to_json

CONFIG = TransformConfig(height=6, width=5)


def run(folder: Path, images: list[bytes]) -> Path:
    """Transforms images of two classes; returns the folder of the transformed split."""
    source = folder / "examples" / "Split-train"
    source.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(source / "data_tfrecord.gz"), tf.io.TFRecordOptions("GZIP")) as writer:
        for number, image in enumerate(images):
            example = tf.train.Example()
            facts = {features.IMAGE: image, features.LABEL: b"ab"[number % 2 :][:1], features.PATH: b"%d.png" % number}
            for name, value in facts.items():
                example.features.feature[name].bytes_list.value.append(value)
            writer.write(example.SerializeToString())
    # A schema made of statistics has neither the images nor their paths.
    label = schema_pb2.Feature(name=features.LABEL, type=schema_pb2.BYTES)
    label.presence.min_fraction = 1.0
    label.shape.dim.add(size=1)
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(text_format.MessageToString(schema_pb2.Schema(feature=[label])))

    def artifact(kind: type, name: str) -> list:
        made = kind()
        made.uri = str(folder / name)
        return [made]

    examples = artifact(standard_artifacts.Examples, "examples")
    examples[0].split_names = artifact_utils.encode_split_names(["train"])
    arguments = ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]
    Executor(Executor.Context(beam_pipeline_args=arguments, tmp_dir=str(folder / "tmp"), unique_id="1")).Do(
        {"examples": examples, "schema": artifact(standard_artifacts.Schema, "schema")},
        {
            "transform_graph": artifact(standard_artifacts.TransformGraph, "graph"),
            "transformed_examples": artifact(standard_artifacts.Examples, "transformed"),
        },
        {
            "preprocessing_fn": "transform.preprocessing.preprocessing_fn",
            "custom_config": json.dumps({"transform": to_json(CONFIG)}),
            "disable_statistics": 1,
        },
    )
    return folder / "transformed" / "Split-train"


def test_images_are_written_as_gzipped_records_whatever_the_schema_leaves_out(tmp_path):
    images = [encode(noise(6, 5, seed=seed), "PNG") for seed in range(20)]
    files = [str(file) for file in run(tmp_path, images).glob("*.gz")]
    written = set()
    for record in tf.data.TFRecordDataset(files, "GZIP"):
        parsed = tf.train.Example.FromString(record.numpy()).features.feature
        written.add((parsed[features.PIXELS].bytes_list.value[0], parsed[features.CLASS_INDEX].int64_list.value[0]))
    # The vocabulary is in reverse alphabetical order: b, a.
    assert written == {(noise(6, 5, seed=seed).tobytes(), 1 - seed % 2) for seed in range(20)}


def test_an_image_that_cannot_be_used_is_named_in_one_sentence(tmp_path):
    images = [encode(noise(6, 5, seed=seed), "PNG") for seed in range(6)]
    images[4] = images[4][:-30]
    with pytest.raises(TransformError) as error:
        run(tmp_path, images)
    assert str(error.value) == "4.png is a damaged or truncated PNG; mend or remove it, and run again."
