"""Metrics and thresholds → a verdict, a sentence for each miss."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.evaluator.config import LABEL, LOWER_IS_BETTER, EvaluatorConfig, Threshold
from components.evaluator.evaluation import ModelResult, to_values
from components.evaluator.slices import Slice, describe

ROUNDING = 1e-9
"""A value this close to its bound has reached it."""


@dataclass(frozen=True, kw_only=True)
class Miss:
    """A threshold that a slice missed."""

    metric: str
    slice: Slice
    bound: str
    """Which of the threshold's bounds: min, max or max_drop."""
    limit: float
    value: float
    """The metric, or for max_drop how much worse than the champion it is."""
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What became of all thresholds."""

    misses: list[Miss]
    unjudged: list[str]
    """A sentence for each threshold and slice that has too few images to be judged."""
    reason: str
    """Why the model is blessed, a sentence; "" when it is not."""

    @property
    def blessed(self) -> bool:
        """Nothing was missed."""
        return not self.misses


def judge(config: EvaluatorConfig, candidate: ModelResult, champion: ModelResult | None) -> Judgement:
    """Compares every threshold with the slices it is about.

    Args:
      config: the thresholds.
      candidate: the new model.
      champion: the model being served, on the same images; None when there is none, and then nothing is compared.
    """
    of_candidate, of_champion = metrics_by_slice(candidate), metrics_by_slice(champion) if champion else {}
    misses: dict[tuple[str, Slice, str], Miss] = {}
    unjudged: dict[str, None] = {}
    for threshold in config.all_thresholds:
        slices = [one for one in of_candidate if applies(threshold, one)]
        if not slices:
            unjudged[f"no test image has {describe_missing(threshold)}, so its {threshold.metric} is not judged"] = None
        for one in slices:
            images = int(of_candidate[one]["images"])
            if one and images < config.min_slice_examples:
                unjudged[f"{describe(one)} are {images}, fewer than {config.min_slice_examples}: not judged"] = None
                continue
            for miss in missed(threshold, one, of_candidate[one], of_champion.get(one)):
                # Of several thresholds on one thing, the strictest is told.
                known = misses.setdefault((miss.metric, one, miss.bound), miss)
                if abs(miss.value - miss.limit) > abs(known.value - known.limit):
                    misses[miss.metric, one, miss.bound] = miss
    found = list(misses.values())
    if champion:
        found = [with_context(miss, config, of_candidate[()], of_champion[()]) for miss in found]
        if config.equal == "refuse" and not any(miss.metric == "accuracy" and not miss.slice for miss in found):
            found += equal(of_candidate[()]["accuracy"], of_champion[()]["accuracy"])
    compared = of_champion[()]["accuracy"] if champion else None
    reason = "" if found else reason_of(config, of_candidate[()]["accuracy"], compared)
    return Judgement(misses=found, unjudged=list(unjudged), reason=reason)


def reason_of(config: EvaluatorConfig, candidate: float, champion: float | None) -> str:
    """Why a model that missed nothing is blessed, from its accuracy and that of what is being served."""
    if champion is None:
        return f"first model: accuracy {candidate:.4f}, the threshold is {config.min_accuracy:.4f}"
    if abs(candidate - champion) <= ROUNDING:
        return f"as accurate as the champion ({champion:.4f}), and evaluator.equal is {config.equal}"
    than = f"accurate than the champion ({candidate:.4f}, champion {champion:.4f})"
    if candidate > champion:
        return f"{candidate - champion:.4f} more {than}"
    return f"{champion - candidate:.4f} less {than}; evaluator.max_accuracy_drop allows {config.max_accuracy_drop:.4f}"


def metrics_by_slice(model: ModelResult) -> dict[Slice, dict[str, float]]:
    """Every metric by name, and `images`, by slice; () is all test images."""
    found: dict[Slice, dict[str, float]] = {
        (): {
            **to_values(model.overall),
            "balanced_accuracy": model.balanced_accuracy.value,
            "macro_f1": model.macro_f1.value,
            "macro_auc": model.macro_auc.value,
            "images": model.overall.images,
        }
    }
    for one in model.slices:
        found[one.slice] = {**to_values(one.scores), "images": one.scores.images}
    for metrics in model.classes:
        of_class = found.get(((LABEL, metrics.name),))
        if of_class is not None:
            of_class.update(to_values(metrics))
    return found


def applies(threshold: Threshold, one: Slice) -> bool:
    """Whether a threshold is about a slice."""
    values = dict(one)
    return list(values) == threshold.slices and all(values[name] == value for name, value in threshold.only.items())


def missed(
    threshold: Threshold, one: Slice, candidate: dict[str, float], champion: dict[str, float] | None
) -> Iterator[Miss]:
    """The bounds of one threshold that one slice misses."""
    metric, where = threshold.metric, f"{words(threshold.metric)} over {describe(one)}"
    value = candidate.get(metric)
    if value is None:  # a precision where nothing was predicted, an F1 without images
        value = 0.0

    def miss(bound: str, limit: float, found: float, text: str) -> Miss:
        return Miss(metric=metric, slice=one, bound=bound, limit=limit, value=found, sentence=f"{where} is {text}")

    if threshold.min is not None and value < threshold.min - ROUNDING:
        text = f"{value:.4f}, {threshold.min - value:.4f} below the threshold {threshold.min:.4f}"
        yield miss("min", threshold.min, value, text)
    if threshold.max is not None and value > threshold.max + ROUNDING:
        text = f"{value:.4f}, {value - threshold.max:.4f} above the threshold {threshold.max:.4f}"
        yield miss("max", threshold.max, value, text)
    if threshold.max_drop is not None and champion and metric in champion:
        lower = metric in LOWER_IS_BETTER
        drop = (value - champion[metric]) if lower else (champion[metric] - value)
        if drop > threshold.max_drop + ROUNDING:
            text = f"{drop:.4f} {'above' if lower else 'below'} the champion's; {threshold.max_drop:.4f} is allowed"
            yield miss("max_drop", threshold.max_drop, drop, text)


def with_context(miss: Miss, config: EvaluatorConfig, candidate: dict[str, float], champion: dict[str, float]) -> Miss:
    """Adds what surprises: that the class is protected, and that the challenger is better as a whole."""
    sentence = miss.sentence
    if miss.bound != "max_drop" or not miss.slice:
        return miss
    if len(miss.slice) == 1 and miss.slice[0][0] == LABEL and miss.slice[0][1] in config.protected_classes:
        sentence = sentence.replace("of class", "of protected class", 1)
    if candidate["accuracy"] > champion["accuracy"]:
        sentence += (
            f", although the challenger is better over all test images "
            f"({candidate['accuracy']:.4f}, champion {champion['accuracy']:.4f})"
        )
    return Miss(**{**miss.__dict__, "sentence": sentence})


def equal(candidate: float, champion: float) -> list[Miss]:
    """The miss of a challenger that has exactly the champion's accuracy."""
    if abs(candidate - champion) > ROUNDING:
        return []
    sentence = f"accuracy over all test images equals the champion's {champion:.4f}, and evaluator.equal is refuse"
    return [Miss(metric="accuracy", slice=(), bound="max_drop", limit=0.0, value=0.0, sentence=sentence)]


def words(metric: str) -> str:
    """A metric's name in a sentence."""
    spelled = {"f1": "F1", "auc": "AUC", "macro_f1": "macro F1", "macro_auc": "macro AUC"}
    return spelled.get(metric, metric.replace("top_k", "top-k").replace("_", " "))


def describe_missing(threshold: Threshold) -> str:
    """What a threshold without a slice is about."""
    values = [f"{name} {threshold.only[name]}" if name in threshold.only else f"a {name}" for name in threshold.slices]
    return " and ".join(values)
