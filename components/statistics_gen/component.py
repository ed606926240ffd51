"""The component: TFX's with another executor, and the options that statistics of images need."""

import tensorflow_data_validation as tfdv
from tfx import types
from tfx.components.statistics_gen import component
from tfx.dsl.components.base import executor_spec

from components.statistics_gen.config import CLASSES
from components.statistics_gen.executor import Executor
from transform import features


def statistics_options() -> tfdv.StatsOptions:
    """Statistics of the labels, the headers and the sampled pixels; every class is counted."""
    return tfdv.StatsOptions(
        feature_allowlist=[features.LABEL, *features.HEADER_FACTS, *features.PIXEL_FACTS],
        num_rank_histogram_buckets=CLASSES,
    )


class StatisticsGen(component.StatisticsGen):
    """Output `statistics` of the `facts`, by split."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, facts: types.BaseChannel):
        super().__init__(examples=facts, stats_options=statistics_options())
