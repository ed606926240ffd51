"""Processes that describe images beside a worker."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from components.image_example_gen.config import LimitConfig
from components.image_example_gen.describers import Describers, Shares
from components.image_example_gen.facts import Facts
from components.image_example_gen.headers import Unusable
from components.image_example_gen.items import Item

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


def described(describers: Describers) -> list[Facts | str]:
    found = describers.describe(items(), LimitConfig(), SHARES)
    return [str(one) if isinstance(one, Unusable) else one for one in found]


@pytest.fixture
def pair():
    """This process and another one, which has started."""
    describers = Describers(1)
    deadline = time.monotonic() + 120
    while not describers.ready:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        describers.welcome()
    yield describers
    describers.close()


def test_they_say_the_same_as_one_process_alone(pair: Describers) -> None:
    alone = described(Describers(0))
    assert described(pair) == alone
    assert pair.ready, "the other process took part"
    assert alone[-2:] == ["empty file", "unreadable: gone"]


def test_the_part_of_a_process_that_died_is_made_up_for(pair: Describers) -> None:
    pair.ready[0].kill()
    pair.ready[0].wait()
    assert described(pair) == described(Describers(0))
    assert not pair.ready
