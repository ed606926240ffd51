"""The evaluation as TensorFlow Model Analysis stores its own, so that `tfma.load_eval_result` and its views open it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from google.protobuf import json_format
from tensorflow_model_analysis.proto import config_pb2, metrics_for_slice_pb2, validation_result_pb2
from tensorflow_model_analysis.version import VERSION

from components.evaluator.config import LOWER_IS_BETTER, EvaluatorConfig, Threshold
from components.evaluator.evaluation import Estimate, Evaluation, ModelResult, Scores
from components.evaluator.judge import Miss
from components.evaluator.slices import Slice
from transform import features

NAMES = {
    "accuracy": "sparse_categorical_accuracy",
    "top_k_accuracy": "sparse_top_k_categorical_accuracy",
    "calibration_error": "expected_calibration_error",
    "log_loss": "sparse_categorical_crossentropy",
    "f1": "f1_score",
}
"""TFMA's names of what it knows under another one."""
OF_CLASS = ("precision", "recall", "f1", "auc")
BASELINE = "baseline"


def write_tfma_files(
    evaluation: Evaluation, misses: Sequence[Miss], config: EvaluatorConfig, folder: str, models: Mapping[str, str]
) -> None:
    """Writes metrics, plots, validations and configuration.

    Args:
      evaluation: what was found.
      misses: the thresholds that were missed.
      config: the thresholds.
      folder: of the artifact.
      models: folders of the models by name.
    """
    of_model = {"": evaluation.candidate}
    if evaluation.champion:
        of_model = {"candidate": evaluation.candidate, BASELINE: evaluation.champion}
    records(folder, "metrics-00000-of-00001.tfrecord", metrics(of_model))
    records(folder, "plots-00000-of-00001.tfrecord", [plots(evaluation, next(iter(of_model)))])
    records(folder, "attributions-00000-of-00001.tfrecord", [])
    records(folder, "validations.tfrecord", [validations(evaluation, misses, next(iter(of_model)))])
    run = config_pb2.EvalRun(
        eval_config=eval_config(config, list(of_model)),
        version=VERSION,
        file_format="tfrecords",
        model_locations=dict(zip(of_model, models.values(), strict=True)),
    )
    Path(folder, "eval_config.json").write_text(json_format.MessageToJson(run), encoding="utf-8")


def records(folder: str, name: str, messages: Iterable) -> None:
    """Writes protocol buffers as a TFRecord file."""
    with tf.io.TFRecordWriter(os.path.join(folder, name)) as writer:
        for message in messages:
            writer.write(message.SerializeToString())


def metrics(of_model: Mapping[str, ModelResult]) -> list[metrics_for_slice_pb2.MetricsForSlice]:
    """Every slice with the metrics of all models."""
    found: dict[Slice, metrics_for_slice_pb2.MetricsForSlice] = {}

    def add(one: Slice, model: str, name: str, value: Estimate | float | None, class_id: int | None = None) -> None:
        if value is None:
            return
        into = found.setdefault(one, metrics_for_slice_pb2.MetricsForSlice(slice_key=slice_key(one)))
        entry = into.metric_keys_and_values.add(key=metric_key(name, model, class_id))
        entry.value.double_value.value = value.value if isinstance(value, Estimate) else value
        if isinstance(value, Estimate):
            entry.confidence_interval.lower_bound.double_value.value = value.low
            entry.confidence_interval.upper_bound.double_value.value = value.high

    def add_scores(one: Slice, model: str, scores: Scores) -> None:
        add(one, model, "example_count", float(scores.images))
        for name in ("accuracy", "top_k_accuracy", "calibration_error", "log_loss"):
            add(one, model, name, getattr(scores, name))

    for model, result in of_model.items():
        add_scores((), model, result.overall)
        for name in ("balanced_accuracy", "macro_f1", "macro_auc"):
            add((), model, name, getattr(result, name))
        for class_id, of_class in enumerate(result.classes):
            for name in OF_CLASS:
                add((), model, name, getattr(of_class, name), class_id)
        for one in result.slices:
            add_scores(one.slice, model, one.scores)
    return list(found.values())


def plots(evaluation: Evaluation, model: str) -> metrics_for_slice_pb2.PlotsForSlice:
    """The confusion matrix of the candidate and how well its confidence is calibrated."""
    found = metrics_for_slice_pb2.PlotsForSlice()
    entry = found.plot_keys_and_values.add()
    entry.key.model_name = model
    matrix = entry.value.multi_class_confusion_matrix_at_thresholds.matrices.add(threshold=0.0)
    for row, column, images in evaluation.confusion:
        matrix.entries.add(actual_class_id=row, predicted_class_id=column, num_weighted_examples=float(images))
    buckets = entry.value.calibration_histogram_buckets.buckets
    for one in evaluation.candidate.calibration:
        buckets.add(
            num_weighted_examples={"value": float(one.images)},
            total_weighted_label={"value": one.accuracy.value * one.images},
            total_weighted_refined_prediction={"value": one.confidence * one.images},
        )
    return found


def validations(evaluation: Evaluation, misses: Sequence[Miss], model: str) -> validation_result_pb2.ValidationResult:
    """The verdict."""
    result = validation_result_pb2.ValidationResult(
        validation_ok=evaluation.blessed, rubber_stamp=evaluation.champion is None
    )
    by_slice: dict[Slice, validation_result_pb2.MetricsValidationForSlice] = {}
    for miss in misses:
        if miss.slice not in by_slice:
            by_slice[miss.slice] = result.metric_validations_per_slice.add(slice_key=slice_key(miss.slice))
        failure = by_slice[miss.slice].failures.add(message=miss.sentence)
        class_id = None
        if miss.metric in OF_CLASS:
            class_id = evaluation.classes.index(dict(miss.slice)[features.LABEL])
        failure.metric_key.CopyFrom(metric_key(miss.metric, model, class_id))
        lower = miss.metric in LOWER_IS_BETTER
        if miss.bound == "max_drop":
            failure.metric_key.is_diff = True
            failure.metric_value.double_value.value = miss.value if lower else -miss.value
            change = failure.metric_threshold.change_threshold
            change.absolute.value = miss.limit if lower else -miss.limit
            change.direction = direction(lower)
        else:
            failure.metric_value.double_value.value = miss.value
            bound = "lower_bound" if miss.bound == "min" else "upper_bound"
            getattr(failure.metric_threshold.value_threshold, bound).value = miss.limit
    return result


def eval_config(config: EvaluatorConfig, models: Sequence[str]) -> config_pb2.EvalConfig:
    """The settings as TFMA writes them."""
    specs = [
        config_pb2.ModelSpec(
            name=model,
            signature_name="examples",
            label_key=features.LABEL,
            prediction_key="probabilities",
            is_baseline=model == BASELINE,
        )
        for model in models
    ]
    metric_configs = []
    for name in dict.fromkeys(threshold.metric for threshold in config.all_thresholds):
        metric = config_pb2.MetricConfig(class_name=tfma_name(name), config=f'{{"name": "{tfma_name(name)}"}}')
        for threshold in config.all_thresholds:
            if threshold.metric == name:
                metric.per_slice_thresholds.add().CopyFrom(slice_threshold(threshold, name in LOWER_IS_BETTER))
        metric_configs.append(metric)
    found = config_pb2.EvalConfig(
        model_specs=specs,
        slicing_specs=[config_pb2.SlicingSpec()]
        + [config_pb2.SlicingSpec(feature_keys=list(keys)) for keys in config.slicings],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metric_configs)],
    )
    found.options.min_slice_size.value = config.min_slice_examples
    return found


def slice_threshold(threshold: Threshold, lower: bool) -> config_pb2.PerSliceMetricThreshold:
    """One of our thresholds as TFMA's."""
    spec = config_pb2.SlicingSpec(
        feature_keys=[name for name in threshold.slices if name not in threshold.only],
        feature_values=dict(threshold.only),
    )
    found = config_pb2.PerSliceMetricThreshold(slicing_specs=[spec])
    if threshold.min is not None:
        found.threshold.value_threshold.lower_bound.value = threshold.min
    if threshold.max is not None:
        found.threshold.value_threshold.upper_bound.value = threshold.max
    if threshold.max_drop is not None:
        found.threshold.change_threshold.absolute.value = threshold.max_drop if lower else -threshold.max_drop
        found.threshold.change_threshold.direction = direction(lower)
    return found


def direction(lower_is_better: bool) -> int:
    """TFMA's constant."""
    kinds = config_pb2.MetricDirection
    return kinds.LOWER_IS_BETTER if lower_is_better else kinds.HIGHER_IS_BETTER


def metric_key(name: str, model: str, class_id: int | None = None) -> metrics_for_slice_pb2.MetricKey:
    """TFMA's name of a metric of a model, and of one of its classes."""
    key = metrics_for_slice_pb2.MetricKey(name=tfma_name(name), model_name=model)
    if class_id is not None:
        key.sub_key.class_id.value = class_id
    return key


def tfma_name(name: str) -> str:
    """What TFMA calls a metric."""
    return NAMES.get(name, name)


def slice_key(one: Slice) -> metrics_for_slice_pb2.SliceKey:
    """A slice."""
    return metrics_for_slice_pb2.SliceKey(
        single_slice_keys=[
            metrics_for_slice_pb2.SingleSliceKey(column=name, bytes_value=value.encode()) for name, value in one
        ]
    )
