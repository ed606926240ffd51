"""What is wrong with a training, as rules over its history (handbook, parts 9 and 10, "Hyperparameters to Tune" and
"Diagnostics"): each names itself, the epoch it shows since, the numbers, and the setting to change.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from trainer_module.history import History, best_epoch

FIRST_VERDICT = 3
"""Epochs before anything but NaN is said: "expect a big drop in training loss from the first epoch by the third"."""
BIG_DROP = 0.1
"""That drop, as a share of the first epoch's loss."""
AT_CHANCE = 1.3
"""Accuracy of up to this many times 1 / classes is guessing."""
NOTHING_LEARNED = 0.98
"""A loss of more than this share of ln(classes), which guessing costs, is guessing."""
DIVERGED = 1.2
"""A training loss that rises and is this many times its lowest diverges."""
OVERFITTED = 1.1
"""A validation loss that stays this many times its best while the training loss falls is overfitting."""
FLAT, FLAT_EPOCHS = 0.01, 5
"""A loss that changes by less than this share over so many epochs is on a plateau."""
RATE_ENDED = 0.1
"""At this share of its highest, the rate of a schedule has come to its end."""
LEARNED = 0.05
"""A loss below this share of ln(classes) is learned: what it does there is noise, neither plateau nor divergence."""
SWING, SWINGS = 0.05, 4
"""A validation loss that turns so often, moving by this share of itself on average, oscillates."""
STILL_FALLING = 0.02
"""A training loss that fell by this share in the last epoch has not converged."""
UNFITTED = 0.75
"""A training loss above this share of the best validation loss has not begun to fit the training images closely.
Set on the trainings of benchmarks/learning_rates.py and the handbook's CIFAR-100; not tried on others."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is wrong."""

    rule: str
    """Its name."""
    epoch: int
    """The epoch it shows since, counted from 1."""
    evidence: str
    """The numbers, a sentence."""
    advice: str
    """The setting to change, a sentence."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the rules look at."""

    history: History
    """Per epoch, loss, accuracy, val_loss and val_accuracy."""
    classes: int
    """Number of classes."""
    learning_rate: float
    """The highest of the training."""
    rates: Sequence[float] = ()
    """The one at the end of each epoch; empty where it stays."""
    twin: History = field(default_factory=dict)
    """History of a twin from scratch, where the weights of the training were given and the two are compared."""
    nan_epoch: int = -1
    """The epoch, counted from 0, in which the loss was NaN; -1 when there was none."""
    ended: bool = False
    """Whether the training is over."""

    @property
    def loss(self) -> Sequence[float]:
        """Training loss per epoch."""
        return self.history["loss"]

    @property
    def val_loss(self) -> Sequence[float]:
        """Validation loss per epoch."""
        return self.history["val_loss"]

    @property
    def chance_loss(self) -> float:
        """The cross-entropy of giving every class the same probability."""
        return math.log(self.classes)

    @property
    def epochs(self) -> int:
        """Finished epochs."""
        return len(self.history.get("loss", ()))

    @property
    def epochs_at_work(self) -> int:
        """Those before the rate came to its end."""
        least = RATE_ENDED * max(self.rates, default=0.0)
        return max((epoch + 1 for epoch, rate in enumerate(self.rates) if rate >= least), default=self.epochs)


def not_a_number(seen: Evidence) -> Finding | None:
    """Bad: the loss is NaN."""
    if seen.nan_epoch < 0:
        return None
    return Finding(
        rule="nan",
        epoch=seen.nan_epoch + 1,
        evidence=f"the loss became NaN or infinite in epoch {seen.nan_epoch + 1}.",
        advice=lower_rate(seen),
    )


def divergence(seen: Evidence) -> Finding | None:
    """Bad: the training loss increases."""
    *_, before, last = seen.loss
    lowest = min(seen.loss)
    if not (last > before and last > max(DIVERGED * lowest, LEARNED * seen.chance_loss)):
        return None
    turn = seen.loss.index(lowest) + 1
    return Finding(
        rule="divergence",
        epoch=turn + 1,
        evidence=f"the training loss rose from {lowest:.4g} in epoch {turn} to {last:.4g}.",
        advice=lower_rate(seen),
    )


def rate_too_high(seen: Evidence) -> Finding | None:
    """Bad: nothing is learned; training bounces back and forth without an optimum to dive into."""
    accuracy = max(seen.history["accuracy"])
    if min(seen.loss) < NOTHING_LEARNED * seen.chance_loss or accuracy > AT_CHANCE / seen.classes:
        return None
    return Finding(
        rule="rate too high",
        epoch=1,
        evidence=f"after {seen.epochs} epochs the training loss is {seen.loss[-1]:.4g} and the accuracy "
        f"{accuracy:.3f}; guessing among {seen.classes} classes gives {seen.chance_loss:.4g} and "
        f"{1 / seen.classes:.3f}.",
        advice=lower_rate(seen),
    )


def rate_too_low(seen: Evidence) -> Finding | None:
    """Bad: the training loss decreases in tiny amounts."""
    first, third = seen.loss[0], seen.loss[FIRST_VERDICT - 1]
    far_off = seen.loss[-1] > seen.chance_loss / 2
    if not falls(seen.loss) or not far_off or first - third > BIG_DROP * first:
        return None
    return Finding(
        rule="rate too low",
        epoch=1,
        evidence=f"the training loss falls steadily but only from {first:.4g} to {third:.4g} by epoch "
        f"{FIRST_VERDICT}; at {seen.loss[-1]:.4g} it is still far off.",
        advice=f"raise trainer.learning_rate, now {seen.learning_rate:g}, to {10 * seen.learning_rate:g}.",
    )


def overfitting(seen: Evidence) -> Finding | None:
    """Bad: the validation loss gets worse while the training loss falls."""
    best = best_epoch(seen.val_loss, lowest=True)
    start = len(seen.val_loss)
    while start > best + 1 and seen.val_loss[start - 1] > OVERFITTED * seen.val_loss[best]:
        start -= 1
    accuracy = seen.history["val_accuracy"]
    while start < seen.epochs and accuracy[start] > max(accuracy[:start]):
        start += 1
    if seen.epochs - start < 2 or seen.loss[-1] >= seen.loss[best]:
        return None
    return Finding(
        rule="overfitting",
        epoch=start + 1,
        evidence=f"since epoch {best + 1} the training loss fell from {seen.loss[best]:.4g} to {seen.loss[-1]:.4g} "
        f"while the validation loss rose from {seen.val_loss[best]:.4g} to {seen.val_loss[-1]:.4g}; accuracy is "
        f"{seen.history['accuracy'][-1]:.3f} in training and {accuracy[-1]:.3f} in validation.",
        advice=f"raise model.dropout, augment the images, or stop early (trainer.patience, or trainer.epochs {start}).",
    )


def oscillation(seen: Evidence) -> Finding | None:
    """Bad: the validation loss bounces back and forth."""
    recent = seen.val_loss[-(SWINGS + 2) :]
    steps = [later - earlier for earlier, later in pairwise(recent)]
    turns = sum(one * other < 0 for one, other in pairwise(steps))
    swing = sum(map(abs, steps)) / len(steps) / (sum(recent) / len(recent))
    if turns < SWINGS or swing < SWING:
        return None
    return Finding(
        rule="oscillation",
        epoch=seen.epochs - len(recent) + 1,
        evidence=f"the validation loss turned {turns} times in {len(recent)} epochs, by {swing:.0%} on average.",
        advice=f"{lower_rate(seen)[:-1]}, or raise trainer.batch_size.",
    )


def plateau(seen: Evidence) -> Finding | None:
    """Bad: the training loss, or the validation loss, stays plateaued, and not because the rate has ended."""
    start = seen.epochs_at_work - FLAT_EPOCHS
    if start < 0:
        return None
    for name, losses in (("training", seen.loss), ("validation", seen.val_loss)):
        recent = losses[start:]
        spread = (max(recent) - min(recent)) / max(recent[0], 1e-9)
        if spread < FLAT and recent[-1] > LEARNED * seen.chance_loss:
            return Finding(
                rule="plateau",
                epoch=start + 1,
                evidence=f"the {name} loss stayed between {min(recent):.4g} and {max(recent):.4g} "
                f"for {len(recent)} epochs.",
                advice="change trainer.learning_rate or trainer.schedule to leave the plateau, or lower "
                "trainer.epochs; if the accuracy is too low, enlarge the model.",
            )
    return None


def underfitting(seen: Evidence) -> Finding | None:
    """Training ended while both losses were still falling."""
    before, last = seen.loss[-2:]
    best = best_epoch(seen.val_loss, lowest=True)
    # One worse epoch is noise: on a few hundred images the validation loss is no smooth curve.
    improving = best >= seen.epochs - 2 and last > UNFITTED * seen.val_loss[best]
    if not (seen.ended and improving and before - last > STILL_FALLING * before):
        return None
    return Finding(
        rule="underfitting",
        epoch=seen.epochs,
        evidence=f"in its last epoch the training loss still fell from {before:.4g} to {last:.4g}, and the validation "
        f"loss was at its best in epoch {best + 1}, {seen.val_loss[best]:.4g}.",
        advice=f"raise trainer.epochs above {seen.epochs}, or trainer.learning_rate a little.",
    )


def negative_transfer(seen: Evidence) -> Finding | None:
    """Bad: given weights do worse than random ones (handbook, part 11, "Negative Transfer")."""
    twin = seen.twin.get("val_accuracy", [])
    if not twin or seen.epochs < len(twin):
        return None
    own, scratch = max(seen.history["val_accuracy"][: len(twin)]), max(twin)
    if own >= scratch:
        return None
    return Finding(
        rule="negative transfer",
        epoch=len(twin),
        evidence=f"after {len(twin)} epochs the validation accuracy is {own:.3f} with the given weights and "
        f"{scratch:.3f} from scratch.",
        advice="set transfer.mode to gradual or full, or transfer.weights to null.",
    )


def falls(losses: Sequence[float]) -> bool:
    """Whether each epoch's is lower than the one before."""
    return all(later < earlier for earlier, later in pairwise(losses))


def lower_rate(seen: Evidence) -> str:
    """The advice against too high a rate."""
    return f"lower trainer.learning_rate, now {seen.learning_rate:g}, to {seen.learning_rate / 10:g}."


RULES: tuple[tuple[Callable[[Evidence], Finding | None], ...], ...] = (
    (divergence, rate_too_high, rate_too_low, overfitting, plateau, underfitting),
    (oscillation,),
    (negative_transfer,),
)
"""Of each group the first that applies is the one to mend."""


def diagnose(seen: Evidence) -> list[Finding]:
    """Everything that is wrong so far."""
    found = [not_a_number(seen)]
    if seen.epochs >= FIRST_VERDICT:
        for group in RULES:
            found.append(next(filter(None, (rule(seen) for rule in group)), None))
    return [finding for finding in found if finding]


def good_signs(seen: Evidence) -> list[str]:
    """What the handbook calls good, where it is seen, a sentence each."""
    if seen.epochs < FIRST_VERDICT:
        return []
    first, third = seen.loss[0], seen.loss[FIRST_VERDICT - 1]
    train, validation = seen.history["accuracy"][-1], seen.history["val_accuracy"][-1]
    signs = []
    if first - third > BIG_DROP * first:
        signs.append(f"a big drop of the training loss by the third epoch, from {first:.4g} to {third:.4g}.")
    if train - 0.05 <= validation:
        signs.append(f"the validation accuracy, {validation:.3f}, keeps up with the training accuracy, {train:.3f}.")
    if all(later < earlier for earlier, later in zip(seen.val_loss, seen.val_loss[1:], strict=False)):
        signs.append(
            f"the validation loss fell in every epoch, from {seen.val_loss[0]:.4g} to {seen.val_loss[-1]:.4g}."
        )
    return signs


def as_json(seen: Evidence) -> dict[str, Any]:
    """`findings`, a list of the fields of `Finding`, and `good`, a list of sentences."""
    return {"findings": [asdict(finding) for finding in diagnose(seen)], "good": good_signs(seen)}
