"""What was counted → what is reported."""

from collections.abc import Mapping, Sequence

import numpy as np

from components.evaluator.config import LABEL, EvaluatorConfig
from components.evaluator.corruptions import CHANGES
from components.evaluator.evaluation import (
    Comparison,
    Evaluation,
    ModelResult,
    Robustness,
    SliceScores,
)
from components.evaluator.judge import Miss, judge
from components.evaluator.metrics import (
    calibration_bins,
    class_metrics,
    mean_of,
    paired_difference,
    scores,
    sign_test,
)
from components.evaluator.slices import Slice
from components.evaluator.tally import CANDIDATE, CHAMPION, IMAGES, Tally


def evaluate_tally(
    config: EvaluatorConfig, tally: Tally, robustness: Mapping[str, np.ndarray], seconds: float
) -> tuple[Evaluation, list[Miss]]:
    """The evaluation, judged, and the thresholds that were missed.

    Args:
      config: thresholds and settings.
      tally: of the test split.
      robustness: sums of `score_rows` by change.
      seconds: what reading and classifying took.
    """
    candidate = model_result(tally, CANDIDATE)
    champion = model_result(tally, CHAMPION) if CHAMPION in tally.counts else None
    judgement = judge(config, candidate, champion)
    confusion = tally.counts[CANDIDATE].confusion
    evaluation = Evaluation(
        blessed=judgement.blessed,
        misses=[miss.sentence for miss in judgement.misses],
        unjudged=judgement.unjudged,
        top_k=config.top_k,
        classes=tally.classes[CANDIDATE],
        confusion=[(int(row), int(column), int(confusion[row, column])) for row, column in np.argwhere(confusion)],
        candidate=candidate,
        champion=champion,
        comparisons=comparisons(tally) if champion else [],
        mistakes=tally.mistakes,
        robustness=[
            Robustness(name=name, scores=scores(robustness[name])) for name in ("", *CHANGES) if name in robustness
        ],
        seconds=round(seconds, 3),
        reason=judgement.reason,
    )
    return evaluation, judgement.misses


def model_result(tally: Tally, model: str) -> ModelResult:
    """One model's metrics."""
    names, counts = tally.classes[model], tally.counts[model]
    images = [int(tally.sums[one][model][IMAGES]) if (one := of_class(name)) in tally.sums else 0 for name in names]
    classes = class_metrics(names, counts, images)
    present = [one for one in classes if one.images]
    return ModelResult(
        overall=scores(tally.sums[()][model]),
        balanced_accuracy=mean_of([one.recall for one in present]),
        macro_f1=mean_of([one.f1 for one in present]),
        macro_auc=mean_of([one.auc for one in present if one.auc]),
        classes=classes,
        slices=[SliceScores(slice=one, scores=scores(sums[model])) for one, sums in ordered(tally.sums) if one],
        calibration=calibration_bins(tally.sums[()][model]),
        refused=counts.refused,
        parameters=tally.parameters[model],
    )


def comparisons(tally: Tally) -> list[Comparison]:
    """Candidate against champion, by slice."""
    found = []
    for one, sums in ordered(tally.sums):
        images = int(sums[CANDIDATE][IMAGES])
        gained, lost = (int(count) for count in tally.flips[one])
        found.append(
            Comparison(
                slice=one,
                images=images,
                gained=gained,
                lost=lost,
                difference=paired_difference(gained, lost, images),
                p_value=sign_test(gained, lost),
            )
        )
    return found


def ordered(sums: Mapping[Slice, dict[str, np.ndarray]]) -> Sequence[tuple[Slice, dict[str, np.ndarray]]]:
    """By slicing and value."""
    return sorted(sums.items(), key=lambda item: ([name for name, _ in item[0]], item[0]))


def of_class(name: str) -> Slice:
    """The slice of a class."""
    return ((LABEL, name),)
