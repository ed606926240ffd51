"""Made-up predictions, counted and judged by the evaluator's own code."""

from collections.abc import Sequence

import numpy as np

from components.evaluator.config import EvaluatorConfig
from components.evaluator.evaluation import Evaluation
from components.evaluator.results import evaluate_tally
from components.evaluator.tally import CANDIDATE, CHAMPION, Answers, ClassCounts, Mistake, Tally, score_rows


def answers(labels: np.ndarray, classes: int, *, right: float, seed: int) -> Answers:
    """Probabilities of a model that is right about this often."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1, (len(labels), classes))
    chosen = np.where(generator.random(len(labels)) < right, labels, generator.integers(0, classes, len(labels)))
    logits[np.arange(len(labels)), chosen] += generator.gamma(4, 1.2, len(labels))
    exponents = np.exp(logits)
    return Answers(exponents / exponents.sum(axis=1, keepdims=True), labels, np.zeros(len(labels), bool))


def count(
    names: Sequence[str],
    labels: np.ndarray,
    of_model: dict[str, Answers],
    config: EvaluatorConfig,
    features: dict[str, Sequence[str]] | None = None,
) -> Tally:
    """A tally of one batch."""
    columns = {"label": [names[label] for label in labels], **(features or {})}
    tally = Tally(classes={name: list(names) for name in of_model}, parameters=dict.fromkeys(of_model, 123456))
    for name, one in of_model.items():
        tally.counts[name] = ClassCounts.empty(len(names))
        tally.counts[name].add(one)
    slicings = {
        keys: [tuple(zip(keys, row, strict=True)) for row in zip(*(columns[key] for key in keys), strict=True)]
        for keys in config.slicings
        if set(keys) <= set(columns)
    }
    tally.add(slicings, {name: score_rows(one, config.top_k) for name, one in of_model.items()})
    return tally


def evaluation(
    names: Sequence[str] = ("ant", "bee", "cow"),
    *,
    images: int = 600,
    right: float = 0.9,
    champion: float | None = 0.85,
    config: EvaluatorConfig | None = None,
) -> Evaluation:
    """The evaluation of a model that is right about this often, against a champion likewise."""
    config = config or EvaluatorConfig(slices=[["size"], ["label", "size"]], top_k=2)
    labels = np.arange(images) % len(names)
    of_model = {CANDIDATE: answers(labels, len(names), right=right, seed=1)}
    if champion is not None:
        of_model[CHAMPION] = answers(labels, len(names), right=champion, seed=2)
    sizes = np.random.default_rng(3).choice(["16 – 31", "32 – 63", "1,024 – 2,047"], images)
    tally = count(names, labels, of_model, config, {"size": list(sizes)})
    candidate = of_model[CANDIDATE]
    tally.keep(
        [
            Mistake(
                probability=float(candidate.probabilities[index].max()),
                content_hash=f"{index:064x}",
                path=f"data/{names[labels[index]]}/{index}.png",
                label=names[labels[index]],
                predicted=names[candidate.predicted[index]],
                label_probability=float(candidate.label_probabilities[index]),
            )
            for index in np.flatnonzero(~candidate.right)
        ]
    )
    changed = {
        name: score_rows(answers(labels, len(names), right=one, seed=4), config.top_k).sum(axis=0)
        for name, one in {"": right, "blur": right * 0.97, "noise": right * 0.7}.items()
    }
    return evaluate_tally(config, tally, changed, 1.5)[0]
