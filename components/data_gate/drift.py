"""Whether two sets of images have the same distribution: TFDV's comparators, and a sentence for each that says no."""

import math
from collections.abc import Iterator

import tensorflow_data_validation as tfdv
from scipy.stats import chi2, norm
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from components.data_gate.statistics import Statistics, class_counts, feature_statistics
from transform import features

COMPARED = (
    features.HEIGHT,
    features.WIDTH,
    features.CHANNELS,
    features.BRIGHTNESS,
    features.CONTRAST,
    features.SHARPNESS,
    features.MEAN_RED,
    features.MEAN_GREEN,
    features.MEAN_BLUE,
)
"""Features whose distributions are compared."""
BINS = 20
"""Of two histograms with ten buckets each, laid over one another."""
CONFIDENCE = 0.999
"""Of what chance alone does not exceed."""


def compare(
    current: Statistics,
    earlier: Statistics,
    names: tuple[str, str],
    label_threshold: float,
    threshold: float,
    schema: schema_pb2.Schema | None = None,
) -> list[str]:
    """Compares the labels by L-infinity and `COMPARED` by the Jensen-Shannon divergence.

    Args:
      current: statistics of the set in question.
      earlier: statistics of the set it should be like.
      names: of the two, as a sentence names them.
      label_threshold: largest difference of a class's share, 0 … 1.
      threshold: largest divergence, in bits, 0 … 1.
      schema: an accepted schema; a feature's own `drift_comparator` in it replaces the thresholds.

    Returns:
      A sentence for each difference: the two numbers, the distance and its threshold.
    """
    comparators = schema_pb2.Schema()
    for name in (features.LABEL, *COMPARED):
        present = [feature_statistics(statistics, name) for statistics in (current, earlier)]
        if None in present:
            continue
        feature = comparators.feature.add(
            name=name, type=schema_pb2.BYTES if name == features.LABEL else schema_pb2.FLOAT
        )
        limit = accepted_threshold(schema, name)
        if name == features.LABEL:
            limit = label_threshold if limit is None else limit
            feature.drift_comparator.infinity_norm.threshold = min(1.0, limit + label_chance(current, earlier))
        else:
            limit = threshold if limit is None else limit
            allowed = min(1.0, limit + divergence_chance(name, current, earlier))
            feature.drift_comparator.jensen_shannon_divergence.threshold = allowed
    anomalies = tfdv.validate_statistics(current, comparators, previous_statistics=earlier)
    return [
        sentence(info.path.step[0], measurement, current, earlier, names)
        for info in anomalies.drift_skew_info
        for measurement in info.drift_measurements
        if measurement.value > measurement.threshold
    ]


def accepted_threshold(schema: schema_pb2.Schema | None, name: str) -> float | None:
    """The threshold of a feature's own comparator in a schema."""
    for feature in schema.feature if schema else ():
        if feature.name == name and feature.HasField("drift_comparator"):
            comparator = feature.drift_comparator
            norm_or_divergence = (
                comparator.infinity_norm if name == features.LABEL else comparator.jensen_shannon_divergence
            )
            return norm_or_divergence.threshold
    return None


def label_chance(current: Statistics, earlier: Statistics) -> float:
    """What the share of any class differs by chance alone, CONFIDENCE: normal approximation, all classes together."""
    one, other = class_counts(current), class_counts(earlier)
    totals = sum(one.values()), sum(other.values())
    classes = {*one, *other}
    largest = max((one.get(name, 0) + other.get(name, 0)) / sum(totals) for name in classes)
    deviation = math.sqrt(largest * (1 - largest) * (1 / totals[0] + 1 / totals[1]))
    return float(norm.ppf(1 - (1 - CONFIDENCE) / 2 / len(classes)) * deviation)


def divergence_chance(name: str, current: Statistics, earlier: Statistics) -> float:
    """What the divergence is by chance alone, CONFIDENCE.

    Of samples of one distribution it is chi-square distributed, times (1/n + 1/m) / (8 ln 2) (Grosse et al., 2002).
    """
    counts = [values(statistics, name) for statistics in (current, earlier)]
    return float(chi2.ppf(CONFIDENCE, BINS - 1) * sum(1 / max(count, 1) for count in counts) / (8 * math.log(2)))


def values(statistics: Statistics, name: str) -> int:
    """Images that have a feature."""
    feature = feature_statistics(statistics, name)
    return int(feature.num_stats.common_stats.num_non_missing) if feature else 0


def sentence(
    name: str,
    measurement: anomalies_pb2.DriftSkewInfo.Measurement,
    current: Statistics,
    earlier: Statistics,
    names: tuple[str, str],
) -> str:
    """One difference in words."""
    verdict = f"{measurement.value:.3f}, above the threshold {measurement.threshold:.3f}"
    if name == features.LABEL:
        changed, before, now = largest_change(current, earlier)
        return (
            f"{names[0]}, class balance: {now:.1%} of the images are {changed}, {before:.1%} in {names[1]}; "
            f"the L-infinity distance is {verdict}"
        )
    before, now = median(earlier, name), median(current, name)
    what = name.replace("_", " ")
    if f"{before:.4g}" == f"{now:.4g}":
        before, now, what = deviation(earlier, name), deviation(current, name), f"deviation of the {what}"
    else:
        what = f"median {what}"
    return (
        f"{names[0]}: the {what} is {now:.4g}, {before:.4g} in {names[1]}; "
        f"the Jensen-Shannon divergence of the {name.replace('_', ' ')} is {verdict}"
    )


def largest_change(current: Statistics, earlier: Statistics) -> tuple[str, float, float]:
    """The class whose share changed most, and its share before and now."""
    now, before = class_counts(current), class_counts(earlier)
    totals = max(sum(now.values()), 1), max(sum(before.values()), 1)
    shares = {name: (before.get(name, 0) / totals[1], now.get(name, 0) / totals[0]) for name in {*now, *before}}
    name = max(sorted(shares), key=lambda one: abs(shares[one][1] - shares[one][0]))
    return name, *shares[name]


def median(statistics: Statistics, name: str) -> float:
    """The median of a numeric feature."""
    feature = feature_statistics(statistics, name)
    return feature.num_stats.median if feature else math.nan


def deviation(statistics: Statistics, name: str) -> float:
    """The standard deviation of a numeric feature."""
    feature = feature_statistics(statistics, name)
    return feature.num_stats.std_dev if feature else math.nan


def compare_splits(statistics: dict[str, Statistics], label_threshold: float, threshold: float) -> Iterator[str]:
    """Compares every other split with the training split."""
    for split, other in statistics.items():
        if split != "train":
            names = (f"split {split}", "the training split")
            yield from compare(other, statistics["train"], names, label_threshold, threshold)
