"""Sums → metrics, each with its 95 % confidence interval."""

import math
from collections.abc import Sequence

import numpy as np

from components.evaluator import tally
from components.evaluator.evaluation import Bin, ClassMetrics, Estimate, Scores

Z = 1.959964
"""Of the 95 % interval."""
DRAWS = 1000
"""Of the bootstrap behind the calibration error's interval."""


def scores(sums: np.ndarray) -> Scores:
    """The metrics of one model on one slice, from the sum of its `score_rows`."""
    images = int(sums[tally.IMAGES])
    return Scores(
        images=images,
        accuracy=proportion(sums[tally.RIGHT], images),
        top_k_accuracy=proportion(sums[tally.IN_TOP], images),
        calibration_error=calibration_error(sums),
        log_loss=float(sums[tally.LOSS]) / max(images, 1),
    )


def proportion(part: float, whole: float) -> Estimate:
    """A share with the interval of Wilson (JASA 22, 1927)."""
    if not whole:
        return Estimate(value=0.0, low=0.0, high=1.0)
    share = float(part / whole)
    middle = (share + Z * Z / (2 * whole)) / (1 + Z * Z / whole)
    half = Z / (1 + Z * Z / whole) * math.sqrt(share * (1 - share) / whole + Z * Z / (4 * whole * whole))
    return Estimate(
        value=share, low=float(max(min(middle - half, share), 0.0)), high=float(min(max(middle + half, share), 1.0))
    )


def f1(true_positive: float, wrong: float) -> Estimate:
    """F1 = 2 J / (1 + J), where J, the share of true positives in all that is or was said to be, is a proportion."""
    jaccard = proportion(true_positive, true_positive + wrong)
    value, low, high = (2 * part / (1 + part) for part in (jaccard.value, jaccard.low, jaccard.high))
    return Estimate(value=value, low=low, high=high)


def auc(positive: np.ndarray, negative: np.ndarray) -> Estimate | None:
    """Area under the ROC curve from histograms of scores; equal scores count half.

    The interval is that of Hanley and McNeil (Radiology 143, 1982). None where one side is empty.
    """
    p, n = float(positive.sum()), float(negative.sum())
    if not p or not n:
        return None
    below = np.cumsum(negative) - negative
    value = float((positive * (below + negative / 2)).sum() / (p * n))
    q1, q2 = value / (2 - value), 2 * value * value / (1 + value)
    variance = (value * (1 - value) + (p - 1) * (q1 - value**2) + (n - 1) * (q2 - value**2)) / (p * n)
    return around(value, math.sqrt(max(variance, 0.0)))


def around(value: float, error: float) -> Estimate:
    """A value in 0 … 1 with its standard error."""
    return Estimate(value=value, low=max(value - Z * error, 0.0), high=min(value + Z * error, 1.0))


def calibration_error(sums: np.ndarray) -> Estimate:
    """Expected calibration error (Naeini et al., AAAI 2015): how far confidence and accuracy are apart, on average.

    The interval is a parametric bootstrap over the bins' right answers, corrected for the bias that drawing adds.
    """
    images, confidence = sums[tally.BIN_IMAGES], sums[tally.BIN_CONFIDENCE]
    right, total = sums[tally.BIN_RIGHT], max(sums[tally.IMAGES], 1)
    value = float(np.abs(confidence - right).sum() / total)
    share = np.divide(right, images, out=np.zeros_like(right), where=images > 0)
    drawn = np.random.default_rng(1).binomial(images.astype(int), share, (DRAWS, len(images)))
    errors = np.abs(confidence - drawn).sum(axis=1) / total
    low, high = np.quantile(errors, [0.025, 0.975]) - (errors.mean() - value)
    return Estimate(value=value, low=float(np.clip(low, 0, value)), high=float(np.clip(high, value, 1)))


def calibration_bins(sums: np.ndarray) -> list[Bin]:
    """Confidence and accuracy of the images in each bin that has some."""
    bins = zip(sums[tally.BIN_IMAGES], sums[tally.BIN_CONFIDENCE], sums[tally.BIN_RIGHT], strict=True)
    return [
        Bin(images=int(images), confidence=float(confidence / images), accuracy=proportion(right, images))
        for images, confidence, right in bins
        if images
    ]


def class_metrics(names: Sequence[str], counts: tally.ClassCounts, images: Sequence[int]) -> list[ClassMetrics]:
    """Each class against all others, in the order of the names.

    Args:
      names: of the classes.
      counts: of the model.
      images: of each class; those the model refused are among them.
    """
    predicted, right = counts.confusion.sum(axis=0), counts.confusion.diagonal()
    return [
        ClassMetrics(
            name=name,
            images=images[index],
            precision=proportion(right[index], predicted[index]) if predicted[index] else None,
            recall=proportion(right[index], images[index]) if images[index] else None,
            f1=f1(right[index], wrong)
            if (wrong := predicted[index] + images[index] - 2 * right[index]) + right[index]
            else None,
            auc=auc(counts.positive[index], counts.every[index] - counts.positive[index]),
        )
        for index, name in enumerate(names)
    ]


def mean_of(estimates: Sequence[Estimate | None]) -> Estimate:
    """The mean over classes, each counting the same; one that is undefined counts as 0, as in scikit-learn.

    The classes' errors are taken as independent, which for recall they are.
    """
    if not estimates:
        return Estimate(value=0.0, low=0.0, high=1.0)
    known = [one or Estimate(value=0.0, low=0.0, high=0.0) for one in estimates]
    errors = [(one.high - one.low) / (2 * Z) for one in known]
    return around(
        sum(one.value for one in known) / len(known), math.sqrt(sum(error**2 for error in errors)) / len(known)
    )


def paired_difference(gained: float, lost: float, images: int) -> Estimate:
    """Candidate's minus champion's accuracy on the same images, by Agresti and Min (Statistics in Medicine 24, 2005).

    Args:
      gained: images that only the candidate got right.
      lost: images that only the champion got right.
      images: all of them.
    """
    value, n = (gained - lost) / max(images, 1), images + 2
    b, c = gained + 0.5, lost + 0.5
    half = Z * math.sqrt(max(b + c - (b - c) ** 2 / n, 0)) / n
    return Estimate(
        value=value, low=max(min((b - c) / n - half, value), -1), high=min(max((b - c) / n + half, value), 1)
    )


def sign_test(gained: int, lost: int) -> float:
    """How probable a difference at least as large is between equally good models (McNemar's exact test)."""
    n, fewer = gained + lost, min(gained, lost)
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2) for k in range(fewer + 1)
    ]
    return min(2 * math.fsum(math.exp(log) for log in logs), 1.0)
