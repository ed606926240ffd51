"""A model in a server of its own: real processes, a real saved model, real requests."""

import base64
import json
from pathlib import Path

import pytest

from components.evaluator.requests import Request
from components.infra_validator.config import InfraValidatorConfig
from components.infra_validator.trial import TOLERANCE, largest_difference, run_trial
from components.infra_validator.warmup import as_example, string_inputs, write_warm_up

CLASSES = {"even": 0.75, "odd": 0.25}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with the signatures of ours; it says the same of every image."""
    import tensorflow as tf

    class Constant(tf.Module):
        def __init__(self) -> None:
            self.probabilities = tf.Variable(list(CLASSES.values()))

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
        def images(self, image):
            rows = tf.shape(image)[0]
            return {
                "probabilities": tf.tile(self.probabilities[tf.newaxis], [rows, 1]),
                "classes": tf.tile(tf.constant([list(CLASSES)]), [rows, 1]),
            }

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def examples(self, examples):
            parsed = tf.io.parse_example(examples, {"image": tf.io.FixedLenFeature([1], tf.string)})
            outputs = self.images(parsed["image"][:, 0])
            outputs["all_classes"] = outputs.pop("classes")
            return outputs

    folder, constant = tmp_path_factory.mktemp("infra") / "model", Constant()
    signatures = {"serving_default": constant.images, "examples": constant.examples}
    tf.saved_model.save(constant, str(folder), signatures=signatures)
    return folder


def request(**probabilities: float) -> Request:
    """What the evaluation has found of one image."""
    return Request(
        image=base64.b64encode(b"image").decode(),
        example=base64.b64encode(as_example(b"image")).decode(),
        probabilities=probabilities or CLASSES,
    )


def trial_of(model: Path, requests: list[Request], tmp_path: Path, **settings: float):
    """A trial with warm-up requests."""
    inputs = string_inputs(str(model))
    write_warm_up(tmp_path / "extra", "flowers", inputs)
    config = InfraValidatorConfig(**settings)  # type: ignore[arg-type]
    return run_trial(str(model), str(tmp_path / "extra"), "flowers", inputs, requests, config)


def test_every_signature_is_asked_and_another_answer_than_the_evaluations_is_a_miss(
    model: Path, tmp_path: Path
) -> None:
    trial = trial_of(model, [request(), request(even=0.5, odd=0.5)], tmp_path, max_latency_ms=0.001)
    *different, slow = trial.misses
    assert [miss.partition(", answers")[0] for miss in different] == [
        f"signature {signature}, asked {how}"
        for signature in ("examples", "serving_default")
        for how in ("alone", "in a batch")
    ]
    assert all("they differ by up to 0.2500" in miss for miss in different)
    assert slow.endswith("0.001 ms are allowed")
    assert trial.start_seconds and trial.first_ms and trial.batch_ms and trial.memory_mib
    assert trial.server in ("development server", "TensorFlow Serving")
    assert trial.signatures == ["examples", "serving_default"] and trial.batch == 2
    json.dumps(trial.to_json())


def test_a_server_that_needs_too_much_memory_is_ended(model: Path, tmp_path: Path) -> None:
    trial = trial_of(model, [request()], tmp_path, max_memory_mib=64)
    assert trial.misses == ["the server needs more than 64 MiB of memory"]
    assert trial.memory_mib and trial.memory_mib > 64


def test_a_model_that_cannot_be_loaded_is_a_miss_that_says_why(model: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    (broken / "variables" / "variables.index").write_bytes(b"not an index")
    [miss] = trial_of(broken, [request()], tmp_path).misses
    assert "the server ended while it loaded the model" in miss and "could be loaded" in miss


def test_answers_are_compared_by_class_and_not_by_position() -> None:
    answer = {"classes": ["odd", "even"], "probabilities": [0.25, 0.75]}
    assert largest_difference(answer, request()) == 0
    assert largest_difference({**answer, "probabilities": [0.75, 0.25]}, request()) == 0.5 > TOLERANCE
    assert largest_difference({"classes": ["odd"], "probabilities": [1.0]}, request()) == 1.0


def test_warm_up_requests_are_tensorflow_servings_and_hold_nobodys_picture(model: Path, tmp_path: Path) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    for folder in ("once", "again"):
        write_warm_up(tmp_path / folder, "flowers", string_inputs(str(model)))
    [first, second] = [(tmp_path / folder / "tf_serving_warmup_requests").read_bytes() for folder in ("once", "again")]
    assert first == second
    records = tf.data.TFRecordDataset(str(tmp_path / "once" / "tf_serving_warmup_requests")).as_numpy_iterator()
    requests = [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]
    assert [one.model_spec.signature_name for one in requests] == ["examples", "serving_default"]
    for encoded in tf.make_ndarray(requests[1].inputs["image"]):
        assert tf.io.decode_image(encoded).shape == (64, 64, 3)


def test_a_model_without_both_blessings_is_neither_tried_nor_pushed(model: Path, tmp_path: Path) -> None:
    import shutil

    from tfx.types import standard_artifacts

    from components.infra_validator import component as infra_validator
    from components.pusher import component as pusher

    def artifact(cls: type, name: str, blessed: int | None = None):
        found = cls()
        found.uri = str(tmp_path / name)
        if blessed is not None:
            found.set_int_custom_property("blessed", blessed)
        return [found]

    shutil.copytree(model, tmp_path / "model" / "Format-Serving")
    inputs = {"model": artifact(standard_artifacts.Model, "model")}
    infra = artifact(standard_artifacts.InfraBlessing, "infra")
    infra_validator.Executor().Do(
        inputs
        | {
            "model_blessing": artifact(standard_artifacts.ModelBlessing, "blessing", 0),
            "evaluation": artifact(standard_artifacts.ModelEvaluation, "evaluation"),
        },
        {"blessing": infra},
        {"config": "{}", "model_name": "flowers"},
    )
    assert infra_validator.read_trial(infra[0].uri).misses == [infra_validator.SKIPPED]
    assert not infra_validator.is_infra_blessed(infra[0])

    pushed = artifact(standard_artifacts.PushedModel, "pushed")
    pusher.Executor().Do(
        inputs
        | {
            "blessing": artifact(standard_artifacts.ModelBlessing, "blessing", 1),
            "infra_blessing": infra,
            "evaluation": artifact(standard_artifacts.ModelEvaluation, "evaluation"),
            "champion": artifact(standard_artifacts.Model, "champion"),
        },
        {"pushed_model": pushed},
        {"destination": str(tmp_path / "served"), "pipeline": "flowers", "label": "stable", "keep": 3},
    )
    assert pushed[0].get_int_custom_property("pushed") == 0
    assert not (tmp_path / "served").exists()
