"""The pipeline as a whole: one run of the digits, looked at from all sides, and what a second one does.

The tests run in their order: each run builds on the one before, as a user's would.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from pipeline.config import ConfigError, PipelineConfig
from serving import versions
from transform import features
from transform.config import to_json

BEFORE_TRAINER = (
    "ImageExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "DataGate", "Transform", "Tuner",
)  # fmt: skip
FROM_TRAINER = ("Trainer", "Champion", "Evaluator", "InfraValidator", "Pusher", "Report")


def raw_examples(run, split: str) -> list[dict]:
    import tensorflow as tf

    files = [str(path) for path in (run.folder("ImageExampleGen", "examples") / f"Split-{split}").iterdir()]
    parsed = []
    for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        parsed.append({name: getattr(value, value.WhichOneof("kind")).value[0] for name, value in feature.items()})
    return parsed


def test_first_run_executes_everything_and_pushes_version_1(digits_run):
    assert digits_run.status == 0, digits_run.output
    assert all(digits_run.outcome(name) != "cached" for name in BEFORE_TRAINER + FROM_TRAINER)
    assert versions.versions(digits_run.config.destination) == [1]
    manifest = versions.read_manifest(digits_run.config.destination, 1)
    assert manifest.champion is None and manifest.pipeline == "digits"
    assert manifest.metrics["accuracy"] >= 0.9
    assert manifest.why == f"first model: accuracy {manifest.metrics['accuracy']:.4f}, the threshold is 0.9000"


def test_pushed_version_was_tried_in_a_server_and_has_its_warm_up_requests(digits_run):
    trial = json.loads((digits_run.folder("InfraValidator", "blessing") / "infra.json").read_text())
    assert trial["misses"] == [] and trial["largest_difference"] < 1e-3
    assert trial["signatures"] == ["examples", "serving_default"]
    version = Path(digits_run.config.destination) / "1"
    assert (version / "assets.extra" / "tf_serving_warmup_requests").stat().st_size > 1000
    manifest = versions.read_manifest(digits_run.config.destination, 1)
    assert "assets.extra/tf_serving_warmup_requests" in manifest.files


def test_summary_says_accuracy_images_model_report_and_next_command(digits_run):
    for words in (
        "threshold 0.9000",
        "no champion yet",
        "train 1,0",
        "version 1 in",
        "report.html",
        "tfx-vision serve",
    ):
        assert words in digits_run.output


def test_report_is_where_the_summary_says(digits_run):
    report = (digits_run.config.folder / "report.html").read_text()
    assert "digits" in report and len(report) > 50_000


def test_libraries_log_to_the_file_named_at_the_end(digits_run):
    assert Path(digits_run.output.split("log: ")[1].strip()).is_file()
    assert "absl" not in digits_run.output and "INFO" not in digits_run.output


def test_every_image_is_in_one_split_with_its_header_facts(digits_run):
    splits = {split: raw_examples(digits_run, split) for split in features.SPLITS}
    assert sum(len(examples) for examples in splits.values()) == 1797
    one = splits["test"][0]
    assert (one[features.HEIGHT], one[features.WIDTH], one[features.CHANNELS], one[features.FORMAT]) == (
        8,
        8,
        1,
        b"PNG",
    )
    assert Path(one[features.PATH].decode()).read_bytes() == one[features.IMAGE]


def test_training_pixels_equal_the_images(digits_run):
    """At the target size nothing is resampled, so what training reads is what the files hold."""
    import tensorflow as tf

    raw = {Image.open(example[features.PATH].decode()).tobytes() for example in raw_examples(digits_run, "eval")}
    files = [str(path) for path in (digits_run.folder("Transform", "transformed_examples") / "Split-eval").iterdir()]
    spec = {features.PIXELS: tf.io.FixedLenFeature([], tf.string)}
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")
    packed = {tf.io.parse_single_example(record, spec)[features.PIXELS].numpy() for record in records}
    assert packed == raw


@pytest.fixture(scope="module")
def served_model(digits_run):
    import tensorflow as tf

    return tf.saved_model.load(str(Path(digits_run.config.destination) / "1"))


def test_serving_signature_takes_image_bytes_and_answers_with_class_names(digits_run, served_model):
    import tensorflow as tf

    examples = raw_examples(digits_run, "test")
    answer = served_model.signatures["serving_default"](
        image=tf.constant([example[features.IMAGE] for example in examples])
    )
    right = [example[features.LABEL] == label for example, label in zip(examples, answer["label"].numpy(), strict=True)]
    assert sum(right) / len(right) >= 0.9
    assert sorted(answer["classes"].numpy()[0]) == [str(digit).encode() for digit in range(10)]
    assert answer["probabilities"].numpy().sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_examples_signature_agrees_with_the_serving_signature(digits_run, served_model):
    import tensorflow as tf

    image = raw_examples(digits_run, "test")[0][features.IMAGE]
    example = tf.train.Example()
    example.features.feature[features.IMAGE].bytes_list.value.append(image)
    by_example = served_model.signatures["examples"](examples=tf.constant([example.SerializeToString()]))
    by_image = served_model.signatures["serving_default"](image=tf.constant([image]))
    assert (by_example["probabilities"].numpy() == by_image["probabilities"].numpy()).all()
    assert (by_example["all_classes"].numpy() == by_image["classes"].numpy()).all()


def test_same_command_again_is_cached_and_pushes_nothing(digits_run, execute):
    again = execute(digits_run.config)
    assert again.status == 0, again.output
    assert all(again.outcome(name) == "cached" for name in BEFORE_TRAINER + FROM_TRAINER)
    assert versions.versions(digits_run.config.destination) == [1]


CACHED = """
import atexit, sys
from pipeline.console import main
atexit.register(lambda: print("TensorFlow:", type(sys.modules["tensorflow"]).__name__))
main(["run", "config.yaml"], standalone_mode=False)
"""


def test_a_command_whose_components_are_all_cached_does_without_tensorflow(digits_run, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_json(digits_run.config)))
    command = [sys.executable, "-c", CACHED]
    ended = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert ended.stdout.count("cached") == len(BEFORE_TRAINER + FROM_TRAINER) + 1
    assert "TensorFlow: DeferredPackage" in ended.stdout


def test_changed_training_setting_runs_trainer_and_what_follows(digits_run, configure, execute):
    changed = execute(configure(trainer={"epochs": 11, "batch_size": 32}, evaluator={"max_accuracy_drop": 1.0}))
    assert changed.status == 0, changed.output
    assert all(changed.outcome(name) == "cached" for name in BEFORE_TRAINER)
    assert all(changed.outcome(name) != "cached" for name in FROM_TRAINER)
    assert versions.versions(digits_run.config.destination) == [1, 2]
    challenger = versions.read_manifest(digits_run.config.destination, 2)
    assert challenger.champion == 1 and "accurate" in challenger.why and "the champion (0.9" in challenger.why
    assert "champion 0.9" in changed.output


def test_missed_threshold_is_not_pushed_and_says_by_how_much(digits_run, configure, execute):
    missed = execute(configure(trainer={"epochs": 1, "batch_size": 32}, evaluator={"min_class_accuracy": 1.0}))
    assert missed.status == 3, missed.output
    assert "Not blessed: accuracy over the images of class" in missed.output
    assert "below the threshold 1.0000" in missed.output
    assert "below the champion's" in missed.output
    assert versions.served_version(digits_run.config.destination) == 2


def test_deleted_destination_gets_its_model_again(digits_run, execute):
    shutil.rmtree(digits_run.config.destination)
    again = execute(digits_run.config)
    assert again.status == 0, again.output
    assert again.outcome("Trainer") == "cached" != again.outcome("Pusher")
    assert versions.versions(digits_run.config.destination) == [1]


def test_hyperparameters_of_an_earlier_run_are_reused(digits_run, configure, execute):
    best = digits_run.config.folder / "best_hyperparameters"
    config = configure(
        name="reuse",
        infra_validator={"enabled": False},
        tuner={"enabled": False, "reuse": str(best)},
        trainer={"epochs": 2, "learning_rate": 0.5, "batch_size": 7},
        evaluator={"min_accuracy": 0},
    )
    run = execute(config)
    assert run.status == 0, run.output
    assert "Tuner" not in run.output
    training = json.loads((run.folder("Trainer", "model_run") / "training.json").read_text())
    found = json.loads((best / "best_hyperparameters.txt").read_text())["values"]
    assert training["trainer"]["learning_rate"] == found["trainer.learning_rate"]
    assert training["trainer"]["batch_size"] == found["trainer.batch_size"] == 32


def test_unseen_class_in_another_split_stops_the_run(digits_folder, configure, execute, tmp_path):
    held_out = tmp_path / "held out"
    shutil.copytree(digits_folder, held_out)
    (held_out / "9").rename(held_out / "nine")
    data = {"path": str(digits_folder), "test_path": str(held_out), "splits": {"train": 8, "eval": 2, "test": 0}}
    stopped = execute(configure(name="unseen", data=data))
    assert stopped.status == 1
    assert stopped.outcome("DataGate") == "failed"
    assert "split test has no image of class 9" in stopped.output and "nine" in stopped.output
    assert "Transform" not in stopped.output


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        ([], "does not exist or is empty"),
        (["loose.png"], "has no images in class folders"),
        (["cat/1.png"], "has a single class, cat"),
        (["cat/1.png", "dog/notes.txt"], "class dog has no images"),
    ],
)
def test_unusable_folder_is_one_sentence(images, sentence, configure, execute, tmp_path):
    for name in images:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("not an image")
        else:
            Image.new("L", (8, 8)).save(path)
    config = configure(name="unusable", data={"path": str(tmp_path / "images")})
    stopped = execute(config)
    assert stopped.status == 1
    assert sentence in stopped.output
    assert "Traceback" not in stopped.output


def test_second_run_in_the_same_folder_is_refused(digits_run):
    from pipeline.local_runner import only_run, run

    with only_run(digits_run.config.folder), pytest.raises(ConfigError, match="another run is going on"):
        run(digits_run.config)


def test_root_that_cannot_be_written_is_one_sentence(configure: Callable[..., PipelineConfig], tmp_path):
    from pipeline.local_runner import run

    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        run(configure(root=str(tmp_path / "file")))
