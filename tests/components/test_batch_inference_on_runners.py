"""The steps of a batch inference write the same records in their own process and on the workers of a job server."""

import json
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tfx.types import artifact_utils, standard_artifacts

from components.bulk_inferrer.executor import Executor as BulkInferrer
from components.image_folder_gen.component import SPLIT
from components.image_folder_gen.component import Executor as ImageFolderGen
from pipeline.config import BeamConfig
from tests.beam_servers import SERVERS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


class Size(tf.Module):
    """Tells how many bytes an image has."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(examples, {"image": tf.io.FixedLenFeature([], tf.string)})
        return {"size": tf.strings.length(parsed["image"])}


def records(folder: Path) -> list[bytes]:
    files = [str(file) for file in folder.rglob("*.gz")]
    return sorted(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())


def infer(images: Path, model: Path, folder: Path, arguments: list[str]) -> tuple[list[bytes], dict[bytes, int]]:
    """The examples of the images, and the answers of the model by example."""
    examples, result = standard_artifacts.Examples(), standard_artifacts.InferenceResult()
    asked = standard_artifacts.Model()
    examples.uri, result.uri, asked.uri = str(folder / "examples"), str(folder / "result"), str(model)
    context = ImageFolderGen.Context(arguments, tmp_dir=str(folder / "scratch"), unique_id="1")
    ImageFolderGen(context).Do({}, {"examples": [examples]}, {"images": str(images)})
    assert artifact_utils.decode_split_names(examples.split_names) == [SPLIT]
    settings = {
        "data_spec": json.dumps({"example_splits": [SPLIT]}),
        "model_spec": json.dumps({"model_signature_name": ["examples"], "tag": ["serve"]}),
    }
    BulkInferrer(context).Do({"examples": [examples], "model": [asked]}, {"inference_result": [result]}, settings)
    answers = {}
    for record in records(folder / "result"):
        log = prediction_log_pb2.PredictionLog.FromString(record).predict_log
        [example] = tf.make_ndarray(log.request.inputs["examples"])
        answers[example] = int(tf.make_ndarray(log.response.outputs["size"])[0])
    return records(folder / "examples"), answers


@pytest.mark.parametrize("servers", SERVERS)
def test_workers_of_a_job_server_write_the_same_records(servers, digits_folder: Path, tmp_path: Path) -> None:
    model = Size()
    tf.saved_model.save(model, str(tmp_path / "model/Format-Serving"), signatures={"examples": model.examples})
    with servers(tmp_path / "servers") as beam:
        options = beam.options().arguments
        examples, answers = infer(digits_folder, tmp_path / "model", tmp_path / "there", options)
        assert beam.workers >= 2
    assert len(examples) == len(answers) == 1797
    here = infer(digits_folder, tmp_path / "model", tmp_path / "here", BeamConfig().arguments)
    assert (examples, answers) == here
