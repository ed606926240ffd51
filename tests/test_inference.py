"""Batch inference as a pipeline: the pushed model of the digits over its own images, without their labels."""

from pathlib import Path

import pytest

from pipeline.config import ConfigError, InferenceConfig, load_inference_config


def test_the_served_model_answers_every_image_and_a_broken_one_spoils_no_other(digits_run, digits_folder, tmp_path):
    import shutil

    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    from pipeline.local_runner import infer

    images = tmp_path / "images"
    for digit in ("3", "7"):
        shutil.copytree(digits_folder / digit, images / "in" / digit)
    (images / "broken.png").write_bytes(b"no image")
    config = InferenceConfig(
        name="unlabelled", root=str(tmp_path / "runs"), images=str(images), destination=digits_run.config.destination
    )
    assert infer(config) == 0
    [folder] = (config.folder / "artifacts" / "BulkInferrer" / "inference_result").iterdir()
    right = wrong = unanswered = 0
    files = [str(file) for file in Path(folder).glob("prediction_logs*.gz")]
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record).predict_log
        example = tf.train.Example.FromString(tf.make_ndarray(log.request.inputs["examples"])[0])
        path = example.features.feature["path"].bytes_list.value[0].decode()
        status = tf.make_ndarray(log.response.outputs["status"])[0] if "status" in log.response.outputs else b""
        if path == "broken.png":
            unanswered += not log.response.outputs or bool(status)
        else:
            answer = tf.make_ndarray(log.response.outputs["label"])[0].decode()
            right, wrong = right + (answer == Path(path).parent.name), wrong + (answer != Path(path).parent.name)
    assert unanswered == 1
    assert right + wrong == sum(1 for digit in ("3", "7") for _ in (digits_folder / digit).iterdir())
    assert right / (right + wrong) > 0.9


def test_a_mistake_in_its_configuration_is_one_sentence(tmp_path):
    file = tmp_path / "inference.yaml"
    file.write_text("name: digits\nimags: data\ndestination: runs/digits/serving\n")
    with pytest.raises(ConfigError, match="imags: unknown key; did you mean images"):
        load_inference_config(file)
