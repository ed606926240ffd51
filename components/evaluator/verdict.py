"""Reads what the Evaluator wrote: the metrics, and the sentences on what was missed."""

from dataclasses import dataclass

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import metrics_for_slice_pb2, validation_result_pb2

from components.evaluator.eval_config import ACCURACY


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """One model on the test split."""

    accuracy: float
    """Over all images, 0 … 1."""
    examples: int
    """Number of images."""
    by_class: dict[str, float]
    """Accuracy over the images of each class (its recall), 0 … 1."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The evaluation of a candidate."""

    blessed: bool
    """True when every threshold was reached."""
    misses: list[str]
    """A sentence for each threshold that was missed."""
    candidate: Metrics
    """The new model."""
    champion: Metrics | None
    """The model being served, on the same images; None when there is none."""


def read_verdict(evaluation: str) -> Verdict:
    """The verdict in an evaluation artifact's folder."""
    result = tfma.load_validation_result(evaluation)
    names = sorted(str(spec.name) for spec in tfma.load_eval_result(evaluation).config.model_specs)
    baseline = "baseline" in names
    return Verdict(
        blessed=result.validation_ok,
        misses=[
            _sentence(validation.slice_key, failure)
            for validation in result.metric_validations_per_slice
            for failure in validation.failures
        ],
        candidate=_metrics(evaluation, "candidate" if baseline else None),
        champion=_metrics(evaluation, "baseline") if baseline else None,
    )


def _metrics(evaluation: str, model: str | None) -> Metrics:
    loaded = tfma.load_eval_result(evaluation, model_name=model)
    overall = loaded.get_metrics_for_slice()
    return Metrics(
        accuracy=float(overall[ACCURACY]["doubleValue"]),
        examples=int(overall["example_count"]["doubleValue"]),
        by_class={
            str(name[0][1]): float(loaded.get_metrics_for_slice(name)[ACCURACY]["doubleValue"])
            for name in sorted(loaded.get_slice_names())
            if name
        },
    )


def _sentence(slice_key: metrics_for_slice_pb2.SliceKey, failure: validation_result_pb2.ValidationFailure) -> str:
    classes = [key.bytes_value.decode() for key in slice_key.single_slice_keys]
    where = f"accuracy over the images of class {classes[0]}" if classes else "accuracy over all test images"
    value = failure.metric_value.double_value.value
    if failure.metric_key.is_diff:
        allowed = failure.metric_threshold.change_threshold.absolute.value
        return f"{where} is {-value:.4f} below the champion's; {max(-allowed, 0):.4f} is allowed"
    bound = failure.metric_threshold.value_threshold.lower_bound.value
    return f"{where} is {value:.4f}, {bound - value:.4f} below the threshold {bound:.4f}"
