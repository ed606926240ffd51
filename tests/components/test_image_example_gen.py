"""Listing, describing and splitting images, without a pipeline."""

import hashlib
import io
import random

import pytest
from PIL import Image

from components.image_example_gen import listed
from components.image_example_gen.config import DataConfig, LimitConfig
from components.image_example_gen.facts import describe
from components.image_example_gen.folders import list_images
from components.image_example_gen.headers import Unusable
from components.image_example_gen.sources import DataError, Item, fingerprint
from transform import features


@pytest.mark.parametrize(
    ("mode", "format", "channels"),
    [("L", "PNG", 1), ("P", "GIF", 1), ("RGB", "JPEG", 3), ("RGBA", "PNG", 4), ("LA", "PNG", 2), ("CMYK", "JPEG", 4)],
)
def test_describe_reads_the_header(mode, format, channels):
    buffer = io.BytesIO()
    Image.new(mode, (30, 20)).save(buffer, format=format)
    facts = describe(Item("a/b.png", "größe", buffer.getvalue()), LimitConfig())
    assert facts[features.LABEL].decode() == "größe"
    assert facts[features.CONTENT_HASH].decode() == hashlib.sha256(buffer.getvalue()).hexdigest()
    assert (facts[features.HEIGHT], facts[features.WIDTH], facts[features.CHANNELS]) == (20, 30, channels)
    assert facts[features.FORMAT].decode() == format


@pytest.mark.parametrize("encoded", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"BM"])
def test_describe_refuses_what_is_no_image(encoded):
    with pytest.raises(Unusable, match=r"empty file|not an image|damaged header"):
        describe(Item("x.png", "cat", encoded), LimitConfig())


@pytest.fixture
def pets(tmp_path):
    for name in (
        "cat/1.png",
        "cat/deep/2.JPG",
        "dog/a b.png",
        "dog/.hidden.png",
        "dog/Thumbs.db",
        "__MACOSX/cat/1.png",
        ".git/x.png",
        "top.png",
    ):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(name).randbytes(10))
    return tmp_path / "pets"


def test_list_images_takes_the_first_folder_as_class(pets):
    found = [(image.path.removeprefix(f"{pets}/"), image.label) for image in list_images(str(pets))]
    assert found == [("cat/1.png", "cat"), ("cat/deep/2.JPG", "cat"), ("dog/a b.png", "dog")]


def test_trailing_slash_changes_nothing(pets):
    assert list_images(f"{pets}/") == list_images(str(pets))


def test_fingerprint_changes_with_the_files(pets):
    before = fingerprint(list_images(str(pets)))
    assert fingerprint(list_images(str(pets))) == before
    (pets / "cat" / "1.png").write_bytes(b"longer than before")
    assert fingerprint(list_images(str(pets))) != before


@pytest.mark.parametrize("path", ["", "cat", "cat/1.txt"])
def test_missing_images_are_explained(tmp_path, path):
    (tmp_path / path).mkdir(parents=True, exist_ok=True)
    with pytest.raises(DataError, match="class"):
        list_images(str(tmp_path))


def test_what_the_driver_listed_is_not_listed_again(pets, monkeypatch):
    config = DataConfig(path=str(pets))
    found = listed.observe(config, "settings")
    with monkeypatch.context() as patch:
        patch.setattr(listed, "open_sources", lambda _: pytest.fail("listed again"))
        [source] = listed.recall(config, "settings", found)
    assert source.files == list_images(str(pets))
    # Only once, and only for the same settings and files.
    [anew] = listed.recall(config, "settings", found)
    assert anew is not source and anew.files == source.files
    listed.observe(config, "settings")
    (pets / "cat" / "new.png").write_bytes((pets / "cat" / "1.png").read_bytes())
    [with_more] = listed.recall(config, "settings", "another fingerprint")
    assert len(with_more.files) == len(source.files) + 1


def test_a_long_listing_is_not_kept_in_mind(pets, monkeypatch):
    monkeypatch.setattr(listed, "MOST", 1)
    listed.observe(DataConfig(path=str(pets)), "settings")
    assert not listed.KEPT
