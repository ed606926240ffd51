"""Where images go: buckets, the rule of thumb, strata and groups."""

import hashlib
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.image_example_gen.config import SplitConfig
from components.image_example_gen.splits import apportion, buckets_for, chi_square, split_of, stratify
from transform import features

hashes = st.binary().map(lambda data: hashlib.sha256(data).hexdigest())
buckets = st.dictionaries(st.sampled_from(features.SPLITS), st.integers(1, 50), min_size=1)


def hashed(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


@given(hashes, buckets)
def test_split_is_one_of_the_buckets_and_depends_on_nothing_else(content_hash, counts):
    assert split_of(content_hash, counts) in counts
    assert split_of(content_hash, counts) == split_of(content_hash, dict(counts))


def test_splits_have_their_share():
    counts = {"train": 8, "eval": 1, "test": 1}
    found = [split_of(hashed(n), counts) for n in range(20_000)]
    # Five standard deviations of a binomial.
    assert abs(found.count("train") - 16_000) < 5 * (20_000 * 0.8 * 0.2) ** 0.5
    assert abs(found.count("eval") - 2_000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5


@pytest.mark.parametrize(
    ("images", "held_out"), [(2, 0.2), (999, 0.2), (1000, 0.1), (9999, 0.1), (10_000, 0.05), (10**6, 0.05)]
)
def test_auto_holds_out_what_the_rule_of_thumb_says(images, held_out):
    found = buckets_for(SplitConfig(mode="auto"), images)
    assert found["test"] / sum(found.values()) == held_out
    assert "test" not in buckets_for(SplitConfig(mode="auto", test=0), images)


@given(st.integers(0, 10_000), buckets)
def test_apportioned_images_add_up_and_are_within_one_of_their_share(images, counts):
    found = apportion(images, counts)
    assert sum(found.values()) == images
    for split, count in found.items():
        share = images * counts[split] / sum(counts.values())
        assert abs(count - share) < 1 or count == 1 or 1 in found.values()
    assert images < len(counts) or min(found.values()) >= 1


@given(st.dictionaries(hashes, st.sampled_from("abc"), min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_stratified_is_exact_in_every_class_whatever_the_order(labels, shuffler):
    counts = {"train": 3, "eval": 1, "test": 1}
    keys = list(labels.items())
    found = stratify(keys, counts)
    shuffler.shuffle(keys)
    assert stratify(keys, counts) == found
    for label in set(labels.values()):
        members = [key for key in labels if labels[key] == label]
        assert Counter(found[key] for key in members) == Counter(apportion(len(members), counts))


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xy")), min_size=1))
def test_stratified_never_divides_a_key(keys):
    found = stratify(keys, {"train": 2, "eval": 1})
    assert set(found) == {key for key, _ in keys}


def test_chi_square_tells_a_random_split_from_a_sorted_one():
    chance = random.Random(3)
    even = {split: Counter(chance.choices("abcd", k=1000)) for split in features.SPLITS}
    assert chi_square(even)[2] > 0.001
    statistic, freedom, probability = chi_square({"train": {"a": 90, "b": 10}, "test": {"a": 10, "b": 90}})
    assert (freedom, statistic) == (1, 128.0) and probability < 1e-20
