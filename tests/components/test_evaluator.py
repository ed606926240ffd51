"""The evaluator: its metrics against scikit-learn's, its verdicts, and one pass of real models over real records."""

import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, precision_recall_fscore_support, roc_auc_score, top_k_accuracy_score

from components.evaluator import corruptions, metrics, tally
from components.evaluator.config import EvaluatorConfig, Threshold
from components.evaluator.evaluation import FILE, read_evaluation
from components.evaluator.results import evaluate_tally
from components.evaluator.slices import band, describe
from components.evaluator.tally import CANDIDATE, CHAMPION, Answers, score_rows
from tests.beam_servers import SERVERS
from tests.components.predictions import answers, count, evaluation

NAMES = ["ant", "bee", "cow", "dog"]


@pytest.fixture(scope="module")
def some() -> Answers:
    """600 answers of a middling model; the classes are of different sizes."""
    labels = np.random.default_rng(5).choice(4, 600, p=[0.5, 0.3, 0.15, 0.05])
    return answers(labels, 4, right=0.7, seed=6)


def test_metrics_agree_with_scikit_learn(some: Answers) -> None:
    config = EvaluatorConfig(top_k=2)
    found = evaluate_tally(config, count(NAMES, some.labels, {CANDIDATE: some}, config), {}, 0.0)[0].candidate
    labels, predicted = some.labels, some.probabilities.argmax(axis=1)
    assert found.overall.accuracy.value == pytest.approx((labels == predicted).mean())
    assert found.overall.top_k_accuracy.value == pytest.approx(top_k_accuracy_score(labels, some.probabilities, k=2))
    assert found.overall.log_loss == pytest.approx(log_loss(labels, some.probabilities))
    precision, recall, f1, images = precision_recall_fscore_support(labels, predicted)
    assert [one.precision.value for one in found.classes] == pytest.approx(precision)
    assert [one.recall.value for one in found.classes] == pytest.approx(recall)
    assert [one.f1.value for one in found.classes] == pytest.approx(f1)
    assert [one.images for one in found.classes] == list(images)
    assert (found.balanced_accuracy.value, found.macro_f1.value) == pytest.approx((recall.mean(), f1.mean()))
    for index, one in enumerate(found.classes):
        expected = roc_auc_score(labels == index, some.probabilities[:, index])
        assert one.auc.value == pytest.approx(expected, abs=2e-4)
        assert one.auc.low <= one.auc.value <= one.auc.high


def test_metrics_agree_with_tensorflow_model_analysis(some: Answers) -> None:
    import pandas as pd
    import tensorflow_model_analysis as tfma
    from google.protobuf import text_format

    config = text_format.Parse(
        """
        model_specs { label_key: "label" prediction_key: "probabilities" }
        slicing_specs {}
        metrics_specs { metrics { class_name: "SparseCategoricalAccuracy" } }
        metrics_specs {
          binarize { class_ids { values: [0, 1, 2, 3] } }
          metrics { class_name: "Precision" config: '"top_k": 1' }
          metrics { class_name: "Recall" config: '"top_k": 1' }
          metrics { class_name: "AUC" }
        }
        """,
        tfma.EvalConfig(),
    )
    table = pd.DataFrame({"label": some.labels, "probabilities": list(some.probabilities)})
    theirs = tfma.analyze_raw_data(table, config)
    settings = EvaluatorConfig()
    ours = evaluate_tally(settings, count(NAMES, some.labels, {CANDIDATE: some}, settings), {}, 0.0)[0].candidate
    accuracy = theirs.get_metrics_for_slice()["sparse_categorical_accuracy"]["doubleValue"]
    assert ours.overall.accuracy.value == pytest.approx(accuracy)
    for index, one in enumerate(ours.classes):
        of_top = theirs.get_metrics_for_slice(class_id=index, top_k=1)
        assert one.precision.value == pytest.approx(of_top["precision"]["doubleValue"])
        assert one.recall.value == pytest.approx(of_top["recall"]["doubleValue"])
        # Both draw the curve through thresholds, of which each has its own.
        auc = theirs.get_metrics_for_slice(class_id=index)["auc"]["doubleValue"]
        assert one.auc.value == pytest.approx(auc, abs=2e-3)


def test_the_calibration_error_is_the_mean_gap_of_the_bins(some: Answers) -> None:
    confidence, right = some.probabilities.max(axis=1), some.right
    expected = 0.0
    for low in range(tally.CALIBRATION_BINS):
        inside = np.minimum((confidence * tally.CALIBRATION_BINS).astype(int), tally.CALIBRATION_BINS - 1) == low
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    found = metrics.calibration_error(score_rows(some, 1).sum(axis=0))
    assert found.value == pytest.approx(expected)
    assert found.low <= found.value <= found.high


@given(cuts=st.lists(st.integers(1, 599), max_size=5, unique=True))
@hypothesis_settings(max_examples=15, deadline=None)
def test_batches_add_up_to_the_same_whatever_their_size(cuts: list[int]) -> None:
    labels = np.arange(600) % 4
    whole = answers(labels, 4, right=0.7, seed=6)
    config = EvaluatorConfig(slices=[["label", "size"]])
    sizes = ["big" if index % 3 else "small" for index in range(600)]
    expected = count(NAMES, labels, {CANDIDATE: whole, CHAMPION: whole}, config, {"size": sizes})
    merged = tally.Tally()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 600], strict=True):
        part = Answers(whole.probabilities[start:end], labels[start:end], whole.refused[start:end])
        merged.merge(
            count(NAMES, labels[start:end], {CANDIDATE: part, CHAMPION: part}, config, {"size": sizes[start:end]})
        )
    assert (merged.counts[CANDIDATE].confusion == expected.counts[CANDIDATE].confusion).all()
    assert (merged.counts[CANDIDATE].every == expected.counts[CANDIDATE].every).all()
    assert merged.sums.keys() == expected.sums.keys()
    for one, sums in expected.sums.items():
        assert merged.sums[one][CHAMPION] == pytest.approx(sums[CHAMPION])


def test_intervals_are_the_published_ones() -> None:
    # 81 of 263: Newcombe, Statistics in Medicine 17 (1998), table I.
    wilson = metrics.proportion(81, 263)
    assert (wilson.low, wilson.high) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    # 1 against 9 discordant pairs: 2 · (1 + 10) / 2¹⁰.
    assert metrics.sign_test(1, 9) == pytest.approx(22 / 1024)
    assert metrics.sign_test(0, 0) == 1.0
    difference = metrics.paired_difference(9, 1, 100)
    assert difference.value == 0.08 and 0 < difference.low < 0.08 < difference.high


def test_the_intervals_of_f1_hold_the_truth_as_often_as_they_say() -> None:
    generator, held = np.random.default_rng(7), 0
    truth = 2 * 0.4 / (2 * 0.4 + 0.25)  # 40 % true positives, 25 % errors either way
    for _ in range(400):
        true_positive, wrong, _ = generator.multinomial(300, [0.4, 0.25, 0.35])
        found = metrics.f1(true_positive, wrong)
        held += found.low <= truth <= found.high
    assert 0.92 <= held / 400 <= 0.98


def judged(config: EvaluatorConfig, candidate: Answers, champion: Answers | None = None, names: list[str] = NAMES):
    """The evaluation of two models on the same images."""
    of_model = {CANDIDATE: candidate} | ({CHAMPION: champion} if champion else {})
    return evaluate_tally(config, count(names, candidate.labels, of_model, config), {}, 0.0)[0]


def certain(labels: np.ndarray, predicted: np.ndarray, classes: int = 4) -> Answers:
    """A model that is 90 % sure of each of its answers."""
    probabilities = np.full((len(labels), classes), 0.1 / (classes - 1))
    probabilities[np.arange(len(labels)), predicted] = 0.9
    return Answers(probabilities, labels, np.zeros(len(labels), bool))


def wrong_on(labels: np.ndarray, mistakes: dict[int, int]) -> Answers:
    """A model that takes so many images of each class for the next class."""
    predicted = labels.copy()
    for label, number in mistakes.items():
        predicted[np.flatnonzero(labels == label)[:number]] = (label + 1) % 4
    return certain(labels, predicted)


LABELS = np.repeat(np.arange(4), 50)


def test_a_better_challenger_that_is_worse_on_a_protected_class_is_refused_with_that_sentence() -> None:
    config = EvaluatorConfig(protected_classes=["cow"])
    found = judged(config, wrong_on(LABELS, {2: 3}), wrong_on(LABELS, {0: 10, 1: 10, 2: 2}))
    assert not found.blessed
    assert found.misses == [
        "accuracy over the images of protected class cow is 0.0200 below the champion's; 0.0000 is allowed, although "
        "the challenger is better over all test images (0.9850, champion 0.8900)"
    ]
    assert judged(EvaluatorConfig(), wrong_on(LABELS, {2: 3}), wrong_on(LABELS, {0: 10, 1: 10, 2: 2})).blessed


@pytest.mark.parametrize(("policy", "blessed"), [("bless", True), ("refuse", False)])
def test_an_equal_challenger_is_handled_by_policy(policy: str, blessed: bool) -> None:
    config = EvaluatorConfig(equal=policy)  # type: ignore[arg-type]
    found = judged(config, wrong_on(LABELS, {0: 4}), wrong_on(LABELS, {1: 4}))
    assert found.blessed is blessed
    assert found.misses == (
        [] if blessed else ["accuracy over all test images equals the champion's 0.9800, and evaluator.equal is refuse"]
    )
    assert judged(config, wrong_on(LABELS, {0: 3}), wrong_on(LABELS, {1: 4})).blessed


def test_a_first_model_is_judged_on_absolute_thresholds_alone() -> None:
    config = EvaluatorConfig(min_accuracy=0.9, protected_classes=["cow"], equal="refuse")
    assert judged(config, wrong_on(LABELS, {0: 20})).blessed
    found = judged(config, wrong_on(LABELS, {0: 21}))
    assert found.misses == ["accuracy over all test images is 0.8950, 0.0050 below the threshold 0.9000"]


def test_a_worse_challenger_is_refused_by_how_much_it_is_worse() -> None:
    found = judged(EvaluatorConfig(max_accuracy_drop=0.01), wrong_on(LABELS, {0: 6}), wrong_on(LABELS, {0: 3}))
    assert found.misses == ["accuracy over all test images is 0.0150 below the champion's; 0.0100 is allowed"]


def test_a_blessed_model_says_why() -> None:
    champion, tolerant = wrong_on(LABELS, {1: 4}), EvaluatorConfig(max_accuracy_drop=0.1)
    assert [
        judged(tolerant, wrong_on(LABELS, {0: mistakes}), baseline).reason
        for mistakes, baseline in ((4, None), (2, champion), (4, champion), (7, champion), (40, champion))
    ] == [
        "first model: accuracy 0.9800, the threshold is 0.5000",
        "0.0100 more accurate than the champion (0.9900, champion 0.9800)",
        "as accurate as the champion (0.9800), and evaluator.equal is bless",
        "0.0150 less accurate than the champion (0.9650, champion 0.9800); evaluator.max_accuracy_drop allows 0.1000",
        "",
    ]


def test_slices_with_too_few_images_are_not_judged_and_that_is_said() -> None:
    labels = np.array([0] * 50 + [1] * 50 + [2] * 50 + [3] * 5)
    config = EvaluatorConfig(min_class_accuracy=0.5, protected_classes=["eel"])
    found = judged(config, wrong_on(labels, {3: 5}))
    assert found.blessed
    assert found.unjudged == [
        "the images of class dog are 5, fewer than 10: not judged",
        "no test image has label eel, so its accuracy is not judged",
    ]


def test_thresholds_are_by_metric_and_slice() -> None:
    config = EvaluatorConfig(
        thresholds=[
            Threshold(metric="precision", slices=["label"], only={"label": "bee"}, min=0.9),
            Threshold(metric="calibration_error", max=0.05),
            Threshold(metric="log_loss", max_drop=0.01),
            Threshold(metric="accuracy", slices=["label", "size"], only={"size": "small"}, min=0.95),
            Threshold(metric="accuracy", slices=["label", "size"], min=0.5),
        ]
    )
    candidate, champion = wrong_on(LABELS, {0: 10}), wrong_on(LABELS, {0: 10})
    sizes = ["small" if index % 50 < 25 else "large" for index in range(200)]
    sure = Answers(np.where(champion.probabilities > 0.5, 0.97, 0.01), LABELS, champion.refused)
    of_model = {CANDIDATE: candidate, CHAMPION: sure}
    found = evaluate_tally(config, count(NAMES, LABELS, of_model, config, {"size": sizes}), {}, 0.0)[0]
    precision, loss, cross = found.misses
    assert precision == "precision over the images of class bee is 0.8333, 0.0667 below the threshold 0.9000"
    assert loss.startswith("log loss over all test images is 0.0") and loss.endswith(
        "above the champion's; 0.0100 is allowed"
    )
    assert cross == (
        "accuracy over the images with label ant and size small is 0.6000, 0.3500 below the threshold 0.9500"
    )


def test_a_threshold_that_cannot_be_judged_is_a_mistake_in_the_configuration() -> None:
    for values, sentence in (
        ({"metric": "accuracy"}, "says nothing"),
        ({"metric": "precision", "min": 0.5}, "precision is no metric of all images"),
        ({"metric": "macro_f1", "slices": ["label"], "min": 0.5}, "macro_f1 is no metric of slices by label"),
        ({"metric": "accuracy", "only": {"label": "cat"}, "min": 0.5}, "`only` names label"),
    ):
        with pytest.raises(pydantic.ValidationError, match=sentence):
            Threshold(**values)  # type: ignore[arg-type]
    with pytest.raises(pydantic.ValidationError, match="equal: refuse contradicts"):
        EvaluatorConfig(equal="refuse", max_accuracy_drop=0.1)


def test_classes_may_be_written_as_numbers() -> None:
    threshold = Threshold(metric="f1", slices=["label"], only={"label": 3}, min=0.5)  # type: ignore[dict-item]
    assert EvaluatorConfig(protected_classes=[3], thresholds=[threshold]).all_thresholds[1].only == {"label": "3"}  # type: ignore[list-item]
    assert threshold.only == {"label": "3"}


def test_a_refused_image_counts_as_wrong() -> None:
    whole = wrong_on(LABELS, {})
    refused = np.zeros(200, bool)
    refused[:20] = True
    found = judged(EvaluatorConfig(), Answers(whole.probabilities, LABELS, refused)).candidate
    assert (found.overall.accuracy.value, found.refused) == (0.9, 20)
    assert found.classes[0].recall and found.classes[0].recall.value == pytest.approx(30 / 50)


def test_numbers_are_sliced_in_bands_and_slices_have_names() -> None:
    assert [band("size", value) for value in (1, 31, 32, 2000)] == ["1", "16 – 31", "32 – 63", "1,024 – 2,047"]
    assert [band("brightness", value) for value in (0, 63.9, 64, 255)] == ["0 – 63", "0 – 63", "64 – 127", "192 – 255"]
    assert (band("channels", 3), band("height", -1), band("contrast", float("nan"))) == ("3", "", "")
    assert describe((("size", "32 – 63"), ("format", "PNG"))) == "the images with size 32 – 63 and format PNG"


def test_changed_images_stay_images_of_their_size() -> None:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 13), np.uint8)).save(buffer, "PNG")
    for name in corruptions.CHANGES:
        changed = corruptions.change(buffer.getvalue(), name, 1)
        assert changed == corruptions.change(buffer.getvalue(), name, 1)
        with Image.open(io.BytesIO(changed)) as image:
            assert (image.size, image.mode) == ((13, 9), "L")
            assert np.asarray(image).tobytes() != Image.open(buffer).tobytes()
    assert corruptions.change(b"no image", "blur", 1) == b"no image"


def test_an_evaluation_survives_being_written(tmp_path: Path) -> None:
    from components.evaluator.evaluation import write_evaluation

    found = evaluation()
    write_evaluation(found, str(tmp_path))
    assert read_evaluation(str(tmp_path)) == found


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> tuple[EvaluatorConfig, list[str], dict[str, str]]:
    """Two saved models and three files of records; they know different classes and one says what it cannot read."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("evaluation")

    class Reader(tf.Module):
        """Takes the image's first word for its class, and refuses the word "bad"."""

        def __init__(self, classes: list[str], with_status: bool):
            self.classes, self.with_status = tf.constant(classes), with_status
            self.weight = tf.Variable(0.9)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
        def images(self, image):
            word = tf.strings.regex_replace(image, " .*", "")
            known = tf.cast(tf.equal(word[:, tf.newaxis], self.classes), tf.float32)
            outputs = {
                "probabilities": known * self.weight + (1 - known) * 0.05,
                "classes": tf.tile(self.classes[tf.newaxis], [tf.shape(image)[0], 1]),
            }
            if self.with_status:
                outputs["status"] = tf.where(tf.equal(word, "bad"), "not an image", "")
            return outputs

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def examples(self, examples):
            parsed = tf.io.parse_example(examples, {"image": tf.io.FixedLenFeature([1], tf.string)})
            outputs = self.images(parsed["image"][:, 0])
            outputs["all_classes"] = outputs.pop("classes")
            return outputs

    for name, classes, with_status in (("new", ["dog", "cat", "eel"], True), ("old", ["cat", "dog"], False)):
        model = Reader(classes, with_status)
        signatures = {"serving_default": model.images, "examples": model.examples}
        tf.saved_model.save(model, str(folder / name), signatures=signatures)

    def example(index: int, word: str, label: str, height: int) -> bytes:
        bytes_values = {"image": word, "label": label, "path": f"{index}.png", "sha256": f"{index:064x}"}
        feature = {
            key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
            for key, value in bytes_values.items()
        }
        for key, number in (("height", height), ("width", 20)):
            feature[key] = tf.train.Feature(int64_list=tf.train.Int64List(value=[number]))
        return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()

    words = [("cat", "cat")] * 12 + [("dog", "dog")] * 14 + [("eel", "eel")] * 10 + [("cat", "dog")] * 3
    words.append(("bad", "eel"))
    files = [str(folder / f"test-{shard}.gz") for shard in range(3)]
    for shard, file in enumerate(files):
        with tf.io.TFRecordWriter(file, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for index, (word, label) in list(enumerate(words))[shard::3]:
                writer.write(example(index, f"{word} {index}", label, 30 if index % 2 else 300))
    config = EvaluatorConfig(min_class_accuracy=0.9, slices=[["size"]], robustness=9)
    return config, files, {CANDIDATE: str(folder / "new"), CHAMPION: str(folder / "old")}


@pytest.fixture(scope="module")
def evaluated(task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is found of them."""
    import apache_beam as beam

    from components.evaluator.component import evaluate

    output = tmp_path_factory.mktemp("found") / "evaluation"
    with beam.Pipeline("FnApiRunner") as pipeline:
        evaluate(pipeline, *task, str(output))
    return output


def test_both_models_see_the_same_images_by_their_own_classes(evaluated: Path) -> None:
    found = read_evaluation(str(evaluated))
    assert (found.candidate.overall.images, found.candidate.overall.accuracy.value) == (40, 36 / 40)
    assert found.champion and found.champion.overall.accuracy.value == 26 / 40
    whole = found.comparisons[0]
    assert (whole.slice, whole.gained, whole.lost) == ((), 10, 0)
    assert found.candidate.refused == 1
    assert {one.slice: one.scores.images for one in found.candidate.slices if one.slice[0][0] == "size"} == {
        (("size", "16 – 31"),): 20,
        (("size", "256 – 511"),): 20,
    }
    assert [(one.label, one.predicted) for one in found.mistakes] == [("dog", "cat")] * 3
    assert found.misses == ["accuracy over the images of class dog is 0.8235, 0.0765 below the threshold 0.9000"]
    assert {one.name: one.scores.images for one in found.robustness} == dict.fromkeys(["", *corruptions.CHANGES], 9)


def test_changes_are_told_in_one_order_whatever_order_a_runner_has(some: Answers) -> None:
    config, sums = EvaluatorConfig(robustness=600), score_rows(some, 1).sum(axis=0)
    names = ["", *corruptions.CHANGES]
    counted = count(NAMES, some.labels, {CANDIDATE: some}, config)
    found = evaluate_tally(config, counted, {name: sums for name in reversed(names)}, 0.0)[0]
    assert [one.name for one in found.robustness] == names


@pytest.mark.slow
@pytest.mark.parametrize("servers", SERVERS)
def test_workers_of_a_job_server_find_the_same(servers, task, evaluated: Path, tmp_path: Path) -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from components.evaluator.component import evaluate

    with servers(tmp_path / "servers") as found:
        options = PipelineOptions(found.options().arguments)
        with beam.Pipeline(options=options) as pipeline:
            evaluate(pipeline, *task, str(tmp_path / "evaluation"))
        assert found.workers >= 1
    # What is added up in another order may differ in the last digit.
    here, there = (
        json.loads((folder / FILE).read_text(), parse_float=lambda digits: round(float(digits), 9))
        for folder in (evaluated, tmp_path / "evaluation")
    )
    assert 0 < there.pop("seconds") < 600 and here.pop("seconds")
    assert there == here


def test_tensorflow_model_analysis_opens_the_evaluation(evaluated: Path) -> None:
    import tensorflow_model_analysis as tfma

    verdict = tfma.load_validation_result(str(evaluated))
    [of_slice] = verdict.metric_validations_per_slice
    assert not verdict.validation_ok
    assert of_slice.slice_key.single_slice_keys[0].bytes_value == b"dog"
    assert of_slice.failures[0].metric_threshold.value_threshold.lower_bound.value == 0.9
    result = tfma.load_eval_result(str(evaluated), model_name="candidate")
    assert result.get_metrics_for_slice()["sparse_categorical_accuracy"]["boundedValue"]["value"] == 0.9
    dogs = result.get_metrics_for_slice((("label", "dog"),))
    assert dogs["example_count"]["doubleValue"] == 17
    per_class = result.get_metrics_for_slice(class_id=0)
    assert per_class["recall"]["boundedValue"]["value"] == pytest.approx(14 / 17)
    assert [spec.is_baseline for spec in result.config.model_specs] == [False, True]


def test_the_robustness_sample_is_the_same_however_the_images_are_spread_over_files(tmp_path: Path) -> None:
    import apache_beam as beam
    import tensorflow as tf
    from apache_beam.testing.util import assert_that, equal_to

    from components.evaluator import inference

    def write(folder: Path, groups: list[list[int]]) -> list[str]:
        folder.mkdir()
        for number, group in enumerate(groups):
            with tf.io.TFRecordWriter(f"{folder}/{number}.gz", tf.io.TFRecordOptions(compression_type="GZIP")) as file:
                for image in group:
                    hashed = tf.train.BytesList(value=[hashlib.sha256(bytes([image])).hexdigest().encode()])
                    feature = {inference.features.CONTENT_HASH: tf.train.Feature(bytes_list=hashed)}
                    file.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
        return [f"{folder}/{number}.gz" for number in range(len(groups))]

    images = list(range(60))
    expected = sorted(hashlib.sha256(bytes([image])).hexdigest().encode() for image in images)[:9]
    shuffled = random.Random(3).sample(images, 60)
    spreads = {
        "one": [images],
        "turned": [images[::-1]],
        "alike": [shuffled[start::4] for start in range(4)],
        "uneven": [shuffled[:2], [], shuffled[2:50], shuffled[50:]],
        "sorted": [images[:30], images[30:]],
    }
    with beam.Pipeline("FnApiRunner") as pipeline:
        for name, groups in spreads.items():
            files = pipeline | name >> beam.Create(write(tmp_path / name, groups))
            lowest = files | f"{name} sampled" >> inference.LowestHashes(9)
            assert_that(lowest, equal_to([expected]), label=f"{name} is the same")
