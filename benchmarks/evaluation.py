"""The evaluation of two models on 2,000 images, against TensorFlow Model Analysis' own metrics, in one process.

Usage: evaluation.py [--intervals]

The images are scikit-learn's digits at 28 × 28, the models two small convolutional networks without training: the time
of an evaluation does not depend on how good they are. Three rows: what a first TFX pipeline asks for (accuracy, by
class); what this project reports (per-class precision, recall, F1 and AUC, top-k, calibration, confusion matrix,
slices by class, size, format and a cross); the same with confidence intervals, which ours always have. TFMA's
intervals (jackknife) take more than six minutes and 3.5 GB here, so they are only measured with --intervals.
Then, in a process of its own, what two models' answers over 1,000 classes need of memory. Writes evaluation.md.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import apache_beam as beam  # noqa: E402

import transform  # noqa: E402, F401  (first: it chooses Keras 2)

BEAM = ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]
IMAGES = 2_000
CLASSES, PREDICTIONS = 1_000, 100_000
ONE_MODEL = 'signature_name: "examples" label_key: "label" prediction_key: "probabilities"'
TWO_MODELS = f"""
model_specs {{ name: "candidate" {ONE_MODEL} }}
model_specs {{ name: "baseline" is_baseline: true {ONE_MODEL} }}
"""
ACCURACY = """
slicing_specs {} slicing_specs { feature_keys: "label" }
metrics_specs { metrics { class_name: "SparseCategoricalAccuracy" } metrics { class_name: "ExampleCount" } }
"""
EVERYTHING = """
slicing_specs {} slicing_specs { feature_keys: "label" } slicing_specs { feature_keys: "height" }
slicing_specs { feature_keys: "format" } slicing_specs { feature_keys: ["label", "format"] }
metrics_specs {
  metrics { class_name: "SparseCategoricalAccuracy" } metrics { class_name: "ExampleCount" }
  metrics { class_name: "MultiClassConfusionMatrixAtThresholds" }
}
metrics_specs {
  binarize { class_ids { values: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] } }
  metrics { class_name: "Precision" } metrics { class_name: "Recall" } metrics { class_name: "F1Score" }
  metrics { class_name: "AUC" } metrics { class_name: "CalibrationPlot" }
}
metrics_specs { binarize { top_k_list { values: [3] } } metrics { class_name: "Recall" } }
"""
INTERVALS = "options { compute_confidence_intervals { value: true } confidence_intervals { method: JACKKNIFE } }"


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        models, files = write_models(work), write_examples(work)
        ours(work, models, files, [])  # both warm: what is imported and compiled once is not the evaluation
        theirs(work, models, files, ACCURACY)
        rows = [
            (
                "accuracy, by class",
                lambda: theirs(work, models, files, ACCURACY),
                lambda: ours(work, models, files, []),
            ),
            (
                "all metrics and slices",
                lambda: theirs(work, models, files, EVERYTHING),
                lambda: ours(work, models, files, [["height"], ["format"], ["label", "format"]]),
            ),
            (
                "the same with intervals",
                (lambda: theirs(work, models, files, EVERYTHING + INTERVALS)) if "--intervals" in sys.argv else None,
                lambda: ours(work, models, files, [["height"], ["format"], ["label", "format"]]),
            ),
        ]
        lines = [line(name, peer and seconds(peer), seconds(own)) for name, peer, own in rows]
    text = table(lines) + "\n" + many_classes()
    (HERE / "evaluation.md").write_text(text)
    print(text)


def many_classes() -> str:
    """Memory for counting and judging two models with many classes, measured in a fresh process."""
    found = json.loads(subprocess.check_output([sys.executable, __file__, "many-classes"], text=True))
    return (
        f"{PREDICTIONS:,} predictions of two models over {CLASSES:,} classes, by class, from 4 files, take\n"
        f"{found['mebibytes']:,.0f} MiB at most, besides the models and {found['before']:,.0f} MiB of imports.\n"
    )


def measure_many_classes() -> None:
    """Prints what `many_classes` asks for; the answers are random, and made batch by batch as models give them."""
    import numpy as np

    from components.evaluator.config import EvaluatorConfig
    from components.evaluator.inference import BATCH
    from components.evaluator.results import evaluate_tally
    from components.evaluator.tally import CANDIDATE, CHAMPION, Answers, ClassCounts, Tally, score_rows

    draw, before = np.random.default_rng(1), peak()
    names = [f"class {index}" for index in range(CLASSES)]
    whole = Tally()
    for _ in range(4):
        tally = Tally(classes={CANDIDATE: names, CHAMPION: names}, parameters={CANDIDATE: 1, CHAMPION: 1})
        for start in range(0, PREDICTIONS // 4, BATCH):
            labels = draw.integers(CLASSES, size=min(BATCH, PREDICTIONS // 4 - start))
            made = {}
            for name in (CANDIDATE, CHAMPION):
                scores = np.exp(draw.normal(0, 2, (len(labels), CLASSES)).astype(np.float32))
                scores[np.arange(len(labels)), labels] *= 2000
                made[name] = Answers(scores / scores.sum(1, keepdims=True), labels, np.zeros(len(labels), bool))
            for name, answers in made.items():
                tally.counts.setdefault(name, ClassCounts.empty(CLASSES)).add(answers)
            rows = {name: score_rows(answers, 5) for name, answers in made.items()}
            tally.add({("label",): [(("label", names[label]),) for label in labels]}, rows)
        whole.merge(tally)
    evaluate_tally(EvaluatorConfig(), whole, {}, 0.0)
    print(json.dumps({"before": before, "mebibytes": peak() - before}))


def peak() -> float:
    """MiB that this process had in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_models(work: Path) -> list[str]:
    """Two saved models with the signatures of ours."""
    import tensorflow as tf

    class Network(tf.Module):
        def __init__(self, seed: int) -> None:
            tf.keras.utils.set_random_seed(seed)
            layers = tf.keras.layers
            self.network = tf.keras.Sequential(
                [
                    layers.Input((28, 28, 1)),
                    layers.Conv2D(32, 3, activation="relu"),
                    layers.MaxPooling2D(),
                    layers.Conv2D(64, 3, activation="relu"),
                    layers.GlobalAveragePooling2D(),
                    layers.Dense(10, activation="softmax"),
                ]
            )
            self.classes = tf.constant([str(digit) for digit in range(10)])

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
        def images(self, image):
            decode = lambda one: tf.ensure_shape(tf.io.decode_png(one, channels=1), [28, 28, 1])  # noqa: E731
            pixels = tf.map_fn(decode, image, fn_output_signature=tf.TensorSpec([28, 28, 1], tf.uint8))
            probabilities = self.network(tf.cast(pixels, tf.float32) / 255)
            rows = tf.shape(image)[0]
            return {"probabilities": probabilities, "classes": tf.tile(self.classes[tf.newaxis], [rows, 1])}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def examples(self, examples):
            parsed = tf.io.parse_example(examples, {"image": tf.io.FixedLenFeature([1], tf.string)})
            outputs = self.images(parsed["image"][:, 0])
            outputs["all_classes"] = outputs.pop("classes")
            return outputs

    folders = []
    for seed in (1, 2):
        network, folder = Network(seed), str(work / f"model-{seed}")
        tf.saved_model.save(
            network, folder, signatures={"serving_default": network.images, "examples": network.examples}
        )
        folders.append(folder)
    return folders


def write_examples(work: Path) -> list[str]:
    """Four files of raw examples, as ImageExampleGen writes them."""
    import hashlib
    import io

    import numpy as np
    import tensorflow as tf
    from PIL import Image
    from sklearn.datasets import load_digits

    digits, files = load_digits(), [str(work / f"test-{shard}.gz") for shard in range(4)]
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    writers = [tf.io.TFRecordWriter(file, options) for file in files]
    for index in range(IMAGES):
        at = index % len(digits.target)
        buffer = io.BytesIO()
        pixels = (digits.images[at] * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).resize((28, 28)).save(buffer, "PNG")
        values = {
            "image": buffer.getvalue(),
            "label": str(digits.target[at]).encode(),
            "path": f"{index}.png".encode(),
            "sha256": hashlib.sha256(buffer.getvalue() + bytes([index % 251])).hexdigest().encode(),
            "format": b"PNG",
        }
        feature = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for name, value in values.items()
        }
        for name in ("height", "width"):
            feature[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=[28]))
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        writers[index % 4].write(example.SerializeToString())
    for writer in writers:
        writer.close()
    return files


def ours(work: Path, models: list[str], files: list[str], slices: list[list[str]]) -> None:
    """Our evaluation: all metrics, with intervals."""
    from components.evaluator.component import evaluate
    from components.evaluator.config import EvaluatorConfig

    with beam.Pipeline(argv=list(BEAM)) as pipeline:
        of_model = dict(zip(("candidate", "champion"), models, strict=True))
        evaluate(pipeline, EvaluatorConfig(slices=slices), files, of_model, str(work / "ours"))


def theirs(work: Path, models: list[str], files: list[str], wanted: str) -> None:
    """TFMA's own, as TFX's Evaluator calls it."""
    import tensorflow_model_analysis as tfma
    from google.protobuf import text_format
    from tensorflow_model_analysis.proto import config_pb2
    from tfx_bsl.tfxio import tf_example_record

    config = text_format.Parse(TWO_MODELS + wanted, config_pb2.EvalConfig())
    config = tfma.utils.update_eval_config_with_defaults(config, has_baseline=True, rubber_stamp=True)
    shared = [
        tfma.default_eval_shared_model(model, eval_config=config, model_name=spec.name)
        for model, spec in zip(models, config.model_specs, strict=True)
    ]
    records = tf_example_record.TFExampleRecord(
        files, raw_record_column_name=tfma.ARROW_INPUT_COLUMN, telemetry_descriptors=["benchmark"]
    )
    with beam.Pipeline(argv=list(BEAM)) as pipeline:
        _ = (
            pipeline
            | records.BeamSource()
            | tfma.ExtractEvaluateAndWriteResults(
                eval_shared_model=shared, eval_config=config, output_path=str(work / "theirs")
            )
        )


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def line(name: str, theirs: float | None, ours: float) -> str:
    peer = f"{theirs:.1f} | {ours:.2f} | {theirs / ours:.0f} ×" if theirs else f"not measured | {ours:.2f} |"
    print(name, peer, flush=True)
    return f"| {name} | {peer} |"


def table(lines: list[str]) -> str:
    from whole_run import machine

    head = [
        f"# The evaluation of two models on {IMAGES:,} images of 28 × 28, 10 classes",
        "",
        f"{date.today()}, {machine()}.",
        "Seconds of the second call in a process; `benchmarks/evaluation.py` measured both in one go. Ours always",
        "computes every metric with its interval, McNemar's test and the most confident mistakes.",
        "",
        "| | TensorFlow Model Analysis | tfx-vision | ratio |",
        "|---|---:|---:|---:|",
    ]
    return "\n".join([*head, *lines]) + "\n"


if __name__ == "__main__":
    measure_many_classes() if sys.argv[1:] == ["many-classes"] else main()
