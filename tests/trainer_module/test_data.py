"""The feeders, without a pipeline."""

import numpy as np
import pytest
import tensorflow as tf

from trainer_module import data, feeding


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


@pytest.mark.parametrize("feeder", ["memory", "disk"])
def test_evaluation_feeds_every_image_once(split, feeder):
    assert sorted(numbers(feeding.feed(split, 16, feeder=feeder))) == list(range(50))


@pytest.mark.parametrize("feeder", ["memory", "disk"])
def test_training_order_depends_on_the_seed_alone(split, feeder):
    first, again, other = (numbers(feeding.feed(split, 10, feeder=feeder, seed=seed).take(10)) for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(first[:50]) == sorted(first[50:]) == list(range(50)), "two epochs, each image once in each"
    assert first[:50] != first[50:], "each epoch in an order of its own"


def test_auto_feeder_reads_from_disk_when_memory_is_short(split, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(feeding, "free_memory", lambda: split.bytes_in_memory)
    feeding.feed(split, 10)
    assert "disk feeder" in caplog.text
