"""The learning-rate sweep."""

import math

import pytest

from trainer_module.config import TrainerConfig
from trainer_module.model_config import ModelConfig
from trainer_module.settings import TrainingSettings
from trainer_module.sweep import HIGHEST, LOWEST, Sweep, range_test, suggested_rate


def test_rates_rise_evenly_over_the_orders_of_magnitude(split):
    settings = TrainingSettings(
        transform=split.transform,
        model=ModelConfig(filters=[4], hidden_units=0),
        trainer=TrainerConfig(batch_size=10, optimizer="adam", schedule="cosine"),
    )
    sweep = range_test(settings, split, steps=25)
    assert sweep.rates[0] == pytest.approx(LOWEST) and len(sweep.rates) == len(sweep.losses)
    ratios = [after / before for before, after in zip(sweep.rates, sweep.rates[1:], strict=False)]
    assert ratios == pytest.approx([(HIGHEST / LOWEST) ** (1 / 24)] * len(ratios))
    assert all(math.isfinite(loss) for loss in sweep.losses[:10])


def test_the_suggestion_is_a_tenth_of_the_rate_of_the_lowest_loss():
    rates = [10.0**power for power in range(-6, 1)]
    assert suggested_rate(Sweep(rates=rates, losses=[2.3, 2.3, 2.2, 1.5, 0.9, 1.4, math.nan])) == pytest.approx(1e-3)
