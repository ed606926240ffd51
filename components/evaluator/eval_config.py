"""EvaluatorConfig → TFMA's EvalConfig."""

from typing import Any

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.config import EvaluatorConfig
from transform import features

ACCURACY = "sparse_categorical_accuracy"
"""TFMA's name of the accuracy in its results."""


def build_eval_config(config: EvaluatorConfig) -> config_pb2.EvalConfig:
    """Accuracy overall and per class, with the thresholds that bless a model.

    The labels are class names; TFMA finds their indices by the `all_classes` that the `examples` signature returns.
    """
    overall, by_class = config_pb2.SlicingSpec(), config_pb2.SlicingSpec(feature_keys=[features.LABEL])
    change = config_pb2.GenericChangeThreshold(
        # A hair below, so that an equal model passes whatever the rounding.
        absolute={"value": -config.max_accuracy_drop - 1e-9},
        direction=config_pb2.MetricDirection.HIGHER_IS_BETTER,
    )
    accuracy = config_pb2.MetricConfig(
        class_name="SparseCategoricalAccuracy",
        per_slice_thresholds=[
            on_slice(overall, value_threshold=at_least(config.min_accuracy), change_threshold=change),
            on_slice(by_class, value_threshold=at_least(config.min_class_accuracy)),
        ],
    )
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(signature_name="examples", label_key=features.LABEL, prediction_key="probabilities")
        ],
        slicing_specs=[overall, by_class],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[accuracy, config_pb2.MetricConfig(class_name="ExampleCount")])],
    )


def at_least(value: float) -> config_pb2.GenericValueThreshold:
    """Blesses a metric of this value or more."""
    return config_pb2.GenericValueThreshold(lower_bound={"value": value})


def on_slice(slices: config_pb2.SlicingSpec, **thresholds: Any) -> config_pb2.PerSliceMetricThreshold:
    """Thresholds that count on these slices only; a plain `threshold` counts on every slice there is."""
    return config_pb2.PerSliceMetricThreshold(
        slicing_specs=[slices], threshold=config_pb2.MetricThreshold(**thresholds)
    )
