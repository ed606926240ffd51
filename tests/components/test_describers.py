"""Processes that describe images beside a worker."""

import gc
import io
import time

import numpy as np
import pytest
from PIL import Image

from components.image_example_gen.config import LimitConfig
from components.image_example_gen.describers import EARLY, Describers, Shares, seldom_collected, starting
from components.image_example_gen.headers import Unusable
from components.image_example_gen.items import Item
from components.image_example_gen.records import Record

SHARES = Shares(pixels=0.5, near=0.5)


def items() -> list[Item]:
    """Images of every format, one that only decoding can tell, and some that are none."""
    found = []
    for index, kind in enumerate(("PNG", "JPEG", "GIF", "BMP", "WEBP") * 6):
        pixels = np.random.default_rng(index).integers(0, 256, (6, 6, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).resize((24, 24)).save(buffer, kind)
        found.append(Item(f"{index}.{kind}", "cat", buffer.getvalue()))
    found += [item._replace(path=f"cut {item.path}", encoded=item.encoded[:-40]) for item in found[:5]]
    return [*found, Item("empty", "dog", b""), Item("gone", "dog", b"", trouble="unreadable: gone")]


def described(describers: Describers) -> list[Record | str]:
    """Batches of several sizes, more than another process is given at a time; each comes back with its own."""
    images = items()
    batches = [images[start : start + 1 + start % 3] for start in range(len(images))]
    answers = list(describers.describe(batches, LimitConfig(), SHARES))
    assert [batch for batch, _ in answers] == batches
    return [str(one) if isinstance(one, Unusable) else one for _, found in answers for one in found]


@pytest.fixture
def pair():
    """This process and another one, which has started."""
    with starting(1):
        [early] = EARLY
        describers = Describers(1)
        assert not EARLY, "what was started early is what is used"
    deadline = time.monotonic() + 120
    while not describers.ready:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        describers.welcome()
    assert describers.ready == [early]
    yield describers
    describers.close()
    assert early.process.poll() is not None


def test_they_say_the_same_as_one_process_alone(pair: Describers) -> None:
    alone = described(Describers(0))
    assert described(pair) == alone
    assert pair.ready, "the other process took part"
    assert alone[-1] == "unreadable: gone"
    assert "empty file" in alone


@pytest.mark.parametrize("hearing", [0, 1, 5])
def test_what_a_process_that_died_leaves_is_made_up_for(pair: Describers, hearing: int) -> None:
    [other] = pair.ready
    listen, heard = other.listen, []

    def die(*_: object) -> object:
        if len(heard) == hearing:
            other.process.kill()
            other.process.wait()
        heard.append(True)
        return listen()

    other.listen = die  # type: ignore[method-assign]
    assert described(pair) == described(Describers(0))
    assert not pair.ready


def test_those_that_nobody_needs_are_ended() -> None:
    with starting(2):
        early = list(EARLY)
    assert [other.process.poll() is not None for other in early] == [True, True]
    assert not EARLY


def test_the_collector_is_as_it_was_afterwards() -> None:
    before = gc.get_threshold()
    with seldom_collected():
        assert gc.get_threshold() != before
        assert gc.get_freeze_count()
    assert gc.get_threshold() == before
    assert not gc.get_freeze_count()
