"""The statistics artifact: all images and, as TFDV's slices, each class; whoever reads it takes the right ones."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow_data_validation as tfdv
from hypothesis import given
from hypothesis import strategies as some
from PIL import Image
from tensorflow_data_validation.statistics.stats_impl import generate_statistics_in_memory
from tensorflow_data_validation.utils import slicing_util
from tfx.types import standard_artifacts

from components.data_gate.drift import compare
from components.data_gate.statistics import ALL, Statistics, by_class, class_counts, load_statistics
from components.schema_gen.executor import propose
from components.statistics_gen.by_class import BUCKETS, summarize
from components.statistics_gen.component import statistics_options
from components.statistics_gen.executor import Executor, as_batch, load
from tests.components.conftest import SPLITS, Ingest, Ingested
from transform import features

CLASSES = ("cat", "dog", "owl")


def compute(ingested: Ingested, folder: Path) -> dict[str, Statistics]:
    statistics = standard_artifacts.ExampleStatistics()
    statistics.uri = str(folder / "statistics")
    Executor(Executor.Context(["--runner=FnApiRunner"], tmp_dir=str(folder), unique_id="1")).Do(
        {"examples": [ingested.facts]},
        {"statistics": [statistics]},
        {"stats_options_json": statistics_options().to_json()},
    )
    return load_statistics(statistics)


def test_the_pixels_of_each_class_and_split_are_what_the_files_hold(pets: Path, ingest: Ingest, tmp_path: Path) -> None:
    for file in (pets / "owl").iterdir():
        Image.open(file).point(lambda value: value // 8).save(file)
    ingested = ingest(pets, splits=SPLITS | {"mode": "stratified"})
    found = compute(ingested, tmp_path)
    for split in features.SPLITS:
        assert {one.name for one in found[split].datasets} == {ALL, "label_cat", "label_dog", "label_owl"}
        for label in CLASSES:
            files = [pets / name for name, its in ingested.splits().items() if its == split and name.startswith(label)]
            pixels = np.stack([np.asarray(Image.open(file), np.float64) for file in files])
            luma = np.stack([np.asarray(Image.open(file).convert("L"), np.float64) for file in files])
            per_image = {
                features.BRIGHTNESS: luma.mean(axis=(1, 2)),
                features.CONTRAST: luma.std(axis=(1, 2)),
                **{name: pixels[..., band].mean(axis=(1, 2)) for band, name in enumerate(features.PIXEL_FACTS[3:])},
            }
            of_slice = tfdv.get_slice_stats(found[split], f"label_{label}")
            assert of_slice.datasets[0].num_examples == len(files) == class_counts(found[split])[label]
            in_class = by_class(found[split])[label]
            for name, values in per_image.items():
                numbers = in_class[name].num_stats
                assert numbers.common_stats.num_non_missing == len(files)
                expected = [values.mean(), values.std(), values.min(), np.median(values), values.max()]
                measured = [numbers.mean, numbers.std_dev, numbers.min, numbers.median, numbers.max]
                assert measured == pytest.approx(expected, rel=1e-4)
            assert in_class[features.SHARPNESS].num_stats.mean > 0
    brightness = {
        label: of_class[features.BRIGHTNESS].num_stats.median for label, of_class in by_class(found["train"]).items()
    }
    assert brightness["owl"] < 25 < 100 < brightness["cat"]


def test_classes_are_told_apart_although_only_a_sample_is_measured(pets: Path, ingest: Ingest, tmp_path: Path) -> None:
    found = compute(ingest(pets, pixel_sample=30), tmp_path)["train"]
    datasets = {one.name: one for one in found.datasets}
    assert datasets["label_cat"].num_examples == class_counts(found)["cat"]
    common = by_class(found)["cat"][features.CONTRAST].num_stats.common_stats
    assert 0 < common.num_non_missing < common.num_non_missing + common.num_missing == class_counts(found)["cat"]
    none = compute(ingest(pets, pixel_sample=0), tmp_path / "none")["train"]
    assert by_class(none)["cat"] == {} and class_counts(none) == class_counts(found)


def test_who_reads_the_statistics_takes_those_of_all_images(pets: Path, ingest: Ingest, tmp_path: Path) -> None:
    found = compute(ingest(pets), tmp_path)["train"]
    alone, turned = Statistics(), Statistics()
    alone.datasets.append(found.datasets[0])
    turned.datasets.extend(reversed(found.datasets))
    for one in (found, turned):
        assert propose(one) == propose(alone)
        assert class_counts(one) == class_counts(alone)
        assert not tfdv.validate_statistics(one, propose(alone)).anomaly_info
        assert compare(one, alone, ("one", "other"), 0.0, 0.0) == []


def test_the_slices_are_those_of_tfdv(pets: Path, ingest: Ingest, tmp_path: Path) -> None:
    ingested = ingest(pets)
    found = compute(ingested, tmp_path)["train"]
    batch = as_batch(load(ingested.facts.uri, "train", [features.LABEL, *features.PIXEL_FACTS]))
    for name, rows in slicing_util.get_feature_value_slicer({features.LABEL: None})(batch):
        [own], [its] = (tfdv.get_slice_stats(found, name).datasets, generate_statistics_in_memory(rows).datasets)
        assert own.num_examples == its.num_examples
        theirs = {feature.path.step[0]: feature for feature in its.features}
        for feature in own.features:
            expected = theirs[feature.path.step[0]]
            assert feature.type == expected.type
            for part in ("common_stats", ""):
                one, other = feature.num_stats, expected.num_stats
                one, other = (getattr(one, part), getattr(other, part)) if part else (one, other)
                for field, value in one.ListFields():
                    if field.name not in ("common_stats", "histograms", "median"):
                        assert getattr(other, field.name) == pytest.approx(value, rel=1e-4), field.name


@given(some.lists(some.tuples(some.integers(0, 4), some.floats(-1e3, 1e3, width=32)), min_size=1, max_size=60))
def test_grouped_numbers_are_those_of_numpy(rows: list[tuple[int, float]]) -> None:
    codes, values = np.array([code for code, _ in rows], int), np.array([value for _, value in rows], float)
    found = summarize(codes, values)
    assert found.codes.tolist() == sorted(set(codes.tolist()))
    for row, code in enumerate(found.codes.tolist()):
        own = values[codes == code]
        expected = [len(own), (own == 0).sum(), own.mean(), own.std(), own.min(), np.median(own), own.max()]
        assert [column[row] for column in found[1:-1]] == pytest.approx(expected, abs=1e-6)
        assert found.histogram[row].sum() == len(own) and found.histogram.shape[1] == BUCKETS
