"""The feeders, without a pipeline."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from trainer_module import data, feeding, order
from trainer_module.config import TrainerConfig
from trainer_module.segments import Segments


def numbers(batches: tf.data.Dataset) -> list[int]:
    """The image numbers in the order they are fed; checks that pixels and labels stay together."""
    fed = []
    for pixels, labels in batches.as_numpy_iterator():
        assert pixels.dtype == np.uint8 and pixels.shape[1:] == (6, 5, 1)
        assert (labels.argmax(axis=1) == pixels[:, 0, 0, 0] % 3).all()
        fed += pixels[:, 0, 0, 0].tolist()
    return fed


def test_split_counts_its_images(split):
    assert (split.size, len(split.files), split.bytes_in_memory) == (50, 2, 50 * 30)


def test_missing_split_is_refused(split, tmp_path):
    with pytest.raises(ValueError, match="no transformed examples"):
        data.open_split([str(tmp_path / "*")], split.transform, split.classes)


@pytest.mark.parametrize("feeder", ["memory", "disk", "hybrid"])
def test_evaluation_feeds_every_image_once_in_the_order_of_the_records(split, feeder):
    fed = numbers(feeding.feed(split, 16, feeder=feeder))
    assert sorted(fed) == list(range(50))
    assert fed == numbers(feeding.feed(split, 16, feeder="memory"))


@pytest.mark.parametrize("segments", [1, 3])
@pytest.mark.parametrize("stratified", [False, True])
def test_every_feeder_gives_the_same_batches(split, segments, stratified):
    def fed(feeder: str, seed: int = 1) -> list[int]:
        plan = feeding.Plan(feeder=feeder, segments=segments, segment_epochs=2 if segments > 1 else 1)
        return numbers(feeding.feed(split, 10, seed=seed, plan=plan, stratified=stratified).take(20))

    first = fed("memory")
    assert first == fed("memory") == fed("disk") == fed("hybrid")
    assert first != fed("memory", seed=2)


@pytest.mark.parametrize("feeder", ["memory", "disk", "hybrid"])
def test_encoded_images_give_the_same_batches_as_their_pixels(split, encoded_split, feeder):
    def fed(split: data.Split) -> list[np.ndarray]:
        plan = feeding.Plan(feeder=feeder, segments=3)
        return [pixels for pixels, _ in feeding.feed(split, 10, seed=1, plan=plan).take(6).as_numpy_iterator()]

    np.testing.assert_array_equal(fed(encoded_split), fed(split))
    assert encoded_split.bytes_on_disk == sum(Path(name).stat().st_size for name in encoded_split.files)


def test_each_pass_has_each_image_once_in_an_order_of_its_own(split):
    fed = numbers(feeding.feed(split, 10, seed=1).take(10))
    assert sorted(fed[:50]) == sorted(fed[50:]) == list(range(50))
    assert fed[:50] != fed[50:]


def test_each_segment_is_repeated_before_the_next_and_a_cycle_has_each_image_equally_often(split):
    plan = feeding.Plan(feeder="hybrid", segments=3, segment_epochs=2)
    fed = numbers(feeding.feed(split, 4, seed=1, plan=plan).take(25))
    assert sorted(fed) == sorted([*range(50)] * 2)
    sizes = sorted(len(images) for images in order.split_up(split.labels, 3, 1))
    assert sizes == [16, 17, 17]
    assert set(fed[:16]) == set(fed[16:32]) or set(fed[:17]) == set(fed[17:34])


def test_a_feed_ends_before_its_last_step(split):
    whole = numbers(feeding.feed(split, 10, seed=1).take(7))
    assert numbers(feeding.feed(split, 10, seed=1, first_step=2, last_step=7)) == whole[20:]


def test_the_next_segment_is_read_while_one_is_in_use(split):
    members = order.split_up(split.labels, 3, 1)
    read = Segments(lambda images: images, members)
    # One step takes a segment; two steps later the next but one is in use.
    images = read.read_ahead(lambda step: members[step], steps=1)
    assert (read(images(0)) == members[0]).all()
    assert set(read.held) == {0, 1}
    assert (read(images(1)) == members[1]).all()
    assert set(read.held) == {1, 2}, "no more than two are in memory"
    mixed = np.concatenate([members[1][:3], members[2][:3]])
    assert (read(mixed) == mixed).all()


def test_segments_have_the_same_share_of_each_class(split):
    for images in order.split_up(split.labels, 3, 1):
        counts = np.bincount(split.labels[images], minlength=3)
        assert counts.max() - counts.min() <= 2


def test_stratified_batches_have_the_classes_in_the_proportions_of_the_split(split):
    for _, labels in feeding.feed(split, 9, seed=1, stratified=True).take(5):
        assert set(labels.numpy().sum(axis=0)) <= {2, 3, 4}


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=40),
    st.integers(1, 50),
    st.integers(1, 5),
    st.integers(1, 3),
    st.booleans(),
)
def test_any_step_can_be_the_first(labels, batch, segments, segment_epochs, stratified):
    """Batches do not depend on the ones asked for before, and cycles have each image equally often."""

    def images() -> order.Order:
        return order.shuffled(
            np.array(labels),
            batch,
            7,
            stratified=stratified,
            segments=min(segments, len(labels)),
            segment_epochs=segment_epochs,
        )

    steps, whole = -(-2 * len(labels) * segment_epochs // batch), images()
    stream = np.concatenate([whole(step) for step in range(steps)])
    assert (images()(steps - 1) == stream[-batch:]).all()
    for cycle in range(2):
        taken = stream[cycle * len(labels) * segment_epochs :][: len(labels) * segment_epochs]
        assert (np.bincount(taken, minlength=len(labels)) == segment_epochs).all()


def test_workers_take_equal_parts_of_the_same_batches(split):
    whole = numbers(feeding.feed(split, 10, seed=1).take(5))
    parts = [numbers(feeding.feed(split, 10, seed=1, part=(index, 2)).take(5)) for index in range(2)]
    assert [parts[0][i : i + 5] + parts[1][i : i + 5] for i in range(0, 25, 5)] == [
        whole[i : i + 10] for i in range(0, 50, 10)
    ]


@pytest.mark.parametrize(
    ("free", "for_files", "feeder", "segments"),
    [(8.0, 8.0, "memory", 1), (2.0, 8.0, "disk", 1), (2.0, 1.5, "hybrid", 4)],
)
def test_the_automatic_choice_follows_the_free_memory_and_says_so(
    split, monkeypatch, caplog, free, for_files, feeder, segments
):
    caplog.set_level("INFO")
    monkeypatch.setattr(feeding, "free_memory", lambda: free * split.bytes_in_memory)
    monkeypatch.setattr(feeding, "free_for_files", lambda: for_files * split.bytes_in_memory)
    plan = feeding.make_plan(split, TrainerConfig())
    assert (plan.feeder, plan.segments) == (feeder, segments)
    assert f"{feeder} feeder (auto): 50 images" in caplog.text


def test_an_interrupted_training_keeps_its_segments_however_much_memory_is_free(split, monkeypatch):
    monkeypatch.setattr(feeding, "free_memory", lambda: 100 * split.bytes_in_memory)
    plan = feeding.make_plan(split, TrainerConfig(), segments=4)
    assert (plan.feeder, plan.segments) == ("memory", 4)


def test_a_full_disk_is_said_before_reading(split, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    with pytest.raises(ValueError, match=r"images to train on take .* make room, or set trainer\.feeder to memory"):
        feeding.feed(split, 10, feeder="disk")


def test_the_limit_of_the_process_counts_as_memory():
    script = "import resource; resource.setrlimit(resource.RLIMIT_DATA, (2**28, 2**28)); "
    script += "from trainer_module.memory import free_memory; print(free_memory())"
    printed = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert 0 < int(printed) < 2**28


def test_the_fingerprint_changes_with_the_images(split, tmp_path):
    copies = [Path(shutil.copy(name, tmp_path)) for name in split.files]
    copy = data.open_split([str(tmp_path / "*")], split.transform, split.classes)
    assert data.fingerprint(copy) == data.fingerprint(split)
    with tf.io.TFRecordWriter(str(copies[0]), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        writer.write(next(iter(tf.data.TFRecordDataset([split.files[0]], compression_type="GZIP"))).numpy())
    assert data.fingerprint(copy) != data.fingerprint(split)
