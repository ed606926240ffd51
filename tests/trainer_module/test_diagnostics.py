"""The rules against the handbook's own trainings (parts 9 and 10) and against its list of good and bad signs."""

import math
from collections.abc import Sequence

import pytest

from trainer_module.diagnostics import Evidence, diagnose, good_signs


def seen(
    loss: Sequence[float],
    accuracy: Sequence[float],
    val_loss: Sequence[float],
    val_accuracy: Sequence[float],
    *,
    classes: int = 10,
    learning_rate: float = 0.001,
    **more: object,
) -> Evidence:
    history = {"loss": loss, "accuracy": accuracy, "val_loss": val_loss, "val_accuracy": val_accuracy}
    return Evidence(
        history={name: list(values) for name, values in history.items()},
        classes=classes,
        learning_rate=learning_rate,
        **more,  # type: ignore[arg-type]
    )


def rules(evidence: Evidence) -> list[str]:
    return [finding.rule for finding in diagnose(evidence)]


def filled(*known: float, last: float, epochs: int) -> list[float]:
    """The handbook prints the first epochs and the last; those between are filled in evenly."""
    missing = epochs - len(known) - 1
    step = (last - known[-1]) / (missing + 1)
    return [*known, *(known[-1] + step * (index + 1) for index in range(missing)), last]


CIFAR_10 = seen(
    # Epochs 1 to 6 and 11 to 20 are printed, 7 to 10 filled in.
    [
        *filled(1.4311, 0.9873, 0.8072, 0.6512, 0.4972, 0.3479, last=0.0198, epochs=11),
        0.0112,
        0.0077,
        0.0048,
        0.0025,
        0.0017,
        9.8118e-04,
        8.6766e-05,
        2.3760e-05,
        1.5005e-05,
    ],
    [
        *filled(0.4875, 0.6536, 0.7197, 0.7736, 0.8293, 0.8830, last=0.9944, epochs=11),
        0.9970,
        0.9978,
        0.9988,
        0.9994,
        0.9996,
        0.9998,
        1.0,
        1.0,
        1.0,
    ],
    [
        *filled(1.1157, 1.1588, 1.0325, 1.0646, 0.9752, 1.0822, last=2.0663, epochs=11),
        2.1746,
        2.2837,
        2.4035,
        2.4452,
        2.6432,
        2.6411,
        2.6870,
        2.7450,
        2.7683,
    ],
    [
        *filled(0.6126, 0.5883, 0.6475, 0.6469, 0.6908, 0.6923, last=0.6915, epochs=11),
        0.6939,
        0.6907,
        0.6916,
        0.6980,
        0.6912,
        0.6973,
        0.6994,
        0.6991,
        0.6996,
    ],
)
"""A ConvNet without dropout on CIFAR-10: "by epoch 7 the model was overfitted to the training data"."""

CIFAR_100 = {
    0.1: (
        filled(15.2716, 15.3049, 15.3052, last=15.3055, epochs=10),
        filled(0.0503, 0.0505, 0.0504, last=0.0504, epochs=10),
        [15.3767] * 10,
        [0.0460] * 10,
    ),
    0.01: (
        filled(3.0251, 2.9964, 2.9961, last=2.9959, epochs=10),
        filled(0.0500, 0.0486, 0.0490, last=0.0466, epochs=10),
        filled(2.9968, 2.9965, 2.9966, last=2.9965, epochs=10),
        filled(0.0460, 0.0460, 0.0422, last=0.0422, epochs=10),
    ),
    0.002: (
        filled(2.5566, 2.2015, last=1.7438, epochs=10),
        filled(0.2064, 0.3169, last=0.4550, epochs=10),
        filled(2.5235, 2.2833, last=1.9590, epochs=10),
        filled(0.2322, 0.2956, last=0.4070, epochs=10),
    ),
    0.001: (
        filled(2.5162, 2.1625, 2.0423, last=1.7465, epochs=10),
        filled(0.2211, 0.3258, 0.3662, last=0.4550, epochs=10),
        filled(2.4523, 2.2507, 2.1630, last=1.9470, epochs=10),
        filled(0.2610, 0.3200, 0.3482, last=0.4180, epochs=10),
    ),
    0.0005: (
        filled(2.5507, 2.2437, last=1.8893, epochs=10),
        filled(0.2115, 0.3023, last=0.4136, epochs=10),
        filled(2.4716, 2.2966, last=2.0811, epochs=10),
        filled(0.2750, 0.3228, last=0.3776, epochs=10),
    ),
}
"""The learning-rate ladder on CIFAR-100's 20 coarse labels."""


def test_cifar_10_without_dropout_is_overfitted_by_epoch_7():
    [finding] = [finding for finding in diagnose(CIFAR_10) if finding.rule == "overfitting"]
    assert finding.epoch == 7
    assert "fell from 0.4972 to 1.5e-05" in finding.evidence and "rose from 0.9752 to 2.768" in finding.evidence
    assert "model.dropout" in finding.advice


def test_overfitting_is_said_while_it_happens_and_not_before():
    def first(epochs: int) -> Evidence:
        history = {name: values[:epochs] for name, values in CIFAR_10.history.items()}
        return Evidence(history=history, classes=10, learning_rate=0.001)

    said = [epochs for epochs in range(1, 21) if "overfitting" in rules(first(epochs))]
    assert said == list(range(8, 21))


@pytest.mark.parametrize("rate", [0.1, 0.01])
def test_cifar_100_learns_nothing_at_too_high_a_rate(rate):
    [finding] = diagnose(seen(*CIFAR_100[rate], classes=20, learning_rate=rate))
    assert (finding.rule, finding.epoch) == ("rate too high", 1)
    assert f"now {rate:g}, to {rate / 10:g}" in finding.advice


@pytest.mark.parametrize("rate", [0.002, 0.001, 0.0005])
def test_cifar_100_learns_at_the_rates_around_the_best_and_is_not_done_after_ten_epochs(rate):
    evidence = seen(*CIFAR_100[rate], classes=20, learning_rate=rate, ended=True)
    assert rules(evidence) == ["underfitting"]
    assert good_signs(evidence)[0].startswith("a big drop of the training loss")
    assert good_signs(evidence)[-1].startswith("the validation loss fell in every epoch")


def test_tiny_decreases_are_too_low_a_rate():
    loss = [2.99 - 0.02 * epoch for epoch in range(5)]
    [finding] = diagnose(seen(loss, [0.07] * 5, loss, [0.07] * 5, classes=20, learning_rate=1e-5))
    assert finding.rule == "rate too low" and "now 1e-05, to 0.0001" in finding.advice


FASHION_MNIST = {
    0.001: (
        [0.7495, 0.3624, 0.2542, 0.1763, 0.1402],
        [0.762, 0.872, 0.913, 0.942, 0.949],
        [0.4909, 0.4358, 0.4150, 0.4318, 0.4422],
        [0.818, 0.842, 0.864, 0.872, 0.862],
    ),
    0.0001: (
        [0.8641, 0.5177, 0.4234, 0.3520, 0.3394],
        [0.709, 0.817, 0.852, 0.883, 0.884],
        [0.6210, 0.4731, 0.4365, 0.4181, 0.4540],
        [0.778, 0.822, 0.854, 0.858, 0.828],
    ),
    0.00001: (
        [1.6190, 0.9948, 0.7766, 0.6797, 0.6124],
        [0.512, 0.726, 0.781, 0.798, 0.811],
        [1.1883, 0.8568, 0.7199, 0.6481, 0.6082],
        [0.656, 0.752, 0.776, 0.794, 0.802],
    ),
}
"""Of benchmarks/learning_rates.py, 3,000 images."""


@pytest.mark.parametrize(("rate", "said"), [(0.001, []), (0.0001, ["underfitting"]), (0.00001, ["underfitting"])])
def test_fashion_mnist_is_underfitted_at_the_rates_below_the_best(rate, said):
    assert rules(seen(*FASHION_MNIST[rate], learning_rate=rate, ended=True)) == said


def test_nan_is_said_at_once():
    [finding] = diagnose(Evidence(history={}, classes=10, learning_rate=0.1, nan_epoch=0))
    assert (finding.rule, finding.epoch) == ("nan", 1) and "trainer.learning_rate" in finding.advice


def test_a_rising_training_loss_diverges():
    loss = [1.5, 0.9, 1.0, 1.6]
    [finding] = diagnose(seen(loss, [0.5] * 4, loss, [0.5] * 4, learning_rate=0.5))
    assert (finding.rule, finding.epoch) == ("divergence", 3)


def test_noise_of_a_loss_that_is_nearly_nothing_is_no_divergence():
    loss = [2.012, 0.8, 0.4407, 0.1, 0.01384, 0.01775]
    assert rules(seen(loss, [0.99] * 6, loss, [0.99] * 6)) == []


def test_a_training_loss_that_stays_is_on_a_plateau():
    loss = [1.5, 1.2, *[1.0] * 5]
    [finding] = diagnose(seen(loss, [0.6] * 7, loss, [0.6] * 7))
    assert (finding.rule, finding.epoch) == ("plateau", 3) and "training loss" in finding.evidence


def test_a_validation_loss_that_stays_is_on_a_plateau():
    loss = [1.5 * 0.8**epoch for epoch in range(8)]
    [finding] = diagnose(seen(loss, [0.6] * 8, [1.6, 1.4, 1.3, *[1.25] * 5], [0.55] * 8))
    assert finding.rule == "plateau" and "validation loss" in finding.evidence


def test_a_schedule_that_has_come_to_its_end_is_no_plateau():
    loss = [*(1.5 * 0.9**epoch for epoch in range(10)), *[0.55] * 5]
    rates = [*[0.001] * 10, *[0.00005] * 5]
    assert rules(seen(loss, [0.6] * 15, loss, [0.6] * 15, rates=rates)) == []
    assert rules(seen(loss, [0.6] * 15, loss, [0.6] * 15, rates=[0.001] * 15)) == ["plateau"]


def test_a_plateau_from_before_the_schedule_ended_is_still_one():
    loss = [1.5, 1.2, *[1.0] * 9]
    [finding] = diagnose(seen(loss, [0.6] * 11, loss, [0.6] * 11, rates=[*[0.001] * 7, *[0.0] * 4]))
    assert (finding.rule, finding.epoch) == ("plateau", 3) and "for 9 epochs" in finding.evidence


def test_what_the_end_of_the_schedule_improved_was_no_plateau():
    loss = [1.5, 1.2, *[1.0] * 5, 0.9, 0.85]
    assert rules(seen(loss, [0.6] * 9, loss, [0.6] * 9, rates=[*[0.001] * 7, *[0.0] * 2])) == []


def test_a_validation_loss_that_bounces_oscillates():
    loss = [1.5 * 0.8**epoch for epoch in range(6)]
    [finding] = diagnose(seen(loss, [0.6] * 6, [1.2, 1.0, 1.2, 1.0, 1.2, 1.0], [0.55] * 6))
    assert finding.rule == "oscillation" and "batch_size" in finding.advice


def test_a_good_training_is_left_alone_at_every_epoch():
    loss = [2.3 * 0.7**epoch for epoch in range(12)]
    accuracy = [1 - 0.6 * 0.8**epoch for epoch in range(12)]
    val_loss = [value * 1.05 for value in loss]
    for epochs in range(1, 13):
        evidence = seen(loss[:epochs], accuracy[:epochs], val_loss[:epochs], accuracy[:epochs])
        assert diagnose(evidence) == []
    assert len(good_signs(evidence)) == 3


def test_guessing_costs_the_logarithm_of_the_number_of_classes():
    assert seen([], [], [], [], classes=20).chance_loss == pytest.approx(math.log(20))
