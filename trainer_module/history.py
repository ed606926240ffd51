"""The history of a training: what Keras reports per epoch, and which epoch was the best."""

from collections.abc import Sequence

History = dict[str, list[float]]
"""Per finished epoch, as Keras names it: loss, accuracy, val_loss, val_accuracy."""


def best_epoch(values: Sequence[float], *, lowest: bool, min_improvement: float = 0.0) -> int:
    """Position of the best value: the last that improved on the best before it by more than `min_improvement`."""
    best = 0
    for epoch, value in enumerate(values):
        gain = values[best] - value if lowest else value - values[best]
        if gain > min_improvement:
            best = epoch
    return best
