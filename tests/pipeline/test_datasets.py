"""Public image sets: conversion, continuation and refusal. The network is not used."""

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline import datasets
from pipeline.datasets import DatasetError

PICTURES = [("train/bag/00000.png", 10), ("train/coat/00001.png", 20), ("test/bag/00000.png", 30)]


def pictures() -> Iterator[tuple[str, Image.Image]]:
    for path, grey in PICTURES:
        yield path, Image.new("L", (4, 4), grey)


def ignore(done: int, total: int) -> None:
    pass


def idx(path: Path, shape: tuple[int, ...], values: bytes, kind: int = 0x08) -> None:
    path.write_bytes(gzip.compress(struct.pack(f">{1 + len(shape)}I", kind << 8 | len(shape), *shape) + values))


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    """Fashion-MNIST of three training pictures and one test picture, 2 pixels high and 3 wide."""
    folder = tmp_path / "idx"
    folder.mkdir()
    idx(folder / "train-images-idx3-ubyte.gz", (3, 2, 3), bytes(range(18)))
    idx(folder / "train-labels-idx1-ubyte.gz", (3,), bytes([9, 0, 9]))
    idx(folder / "t10k-images-idx3-ubyte.gz", (1, 2, 3), bytes(range(100, 106)))
    idx(folder / "t10k-labels-idx1-ubyte.gz", (1,), bytes([4]))
    return folder


def test_fashion_mnist_becomes_a_folder_per_split_and_class(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "cached_fashion_mnist", lambda: idx_folder)
    target = tmp_path / "with space" / "fashion"
    datasets.fetch_fashion_mnist(target)
    files = sorted(str(path.relative_to(target)) for path in target.rglob("*.png"))
    assert files == [
        "test/coat/00000.png",
        "train/ankle-boot/00000.png",
        "train/ankle-boot/00002.png",
        "train/t-shirt/00001.png",
    ]
    with Image.open(target / "train/ankle-boot/00002.png") as image:
        assert (image.mode, image.size, image.tobytes()) == ("L", (3, 2), bytes(range(12, 18)))


def test_a_finished_fetch_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets.write("fashion-mnist", tmp_path, pictures(), 3, ignore)
    monkeypatch.setattr(datasets, "cached_fashion_mnist", lambda: pytest.fail("looked for the source"))
    datasets.fetch_fashion_mnist(tmp_path)


@given(st.integers(0, len(PICTURES)), st.booleans())
def test_an_interrupted_fetch_shows_nothing_and_continues(
    tmp_path_factory: pytest.TempPathFactory, finished: int, torn: bool
) -> None:
    target = tmp_path_factory.mktemp("target")

    def interrupted() -> Iterator[tuple[str, Image.Image]]:
        for index, item in enumerate(pictures()):
            if index == finished:
                raise KeyboardInterrupt
            yield item
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        datasets.write("clothes", target, interrupted(), 3, ignore)
    assert [path for path in target.iterdir() if not path.name.startswith(".")] == []
    if torn and finished:  # as a kill in the middle of a write leaves it
        last = target / ".clothes.partial" / PICTURES[finished - 1][0]
        last.write_bytes(last.read_bytes()[:20])

    datasets.check_target("clothes", target)
    datasets.write("clothes", target, pictures(), 3, ignore)
    for path, grey in PICTURES:
        with Image.open(target / path) as image:
            assert image.getpixel((0, 0)) == grey
    assert sorted(path.name for path in target.iterdir()) == [".clothes.complete", "test", "train"]


def test_a_fetch_interrupted_while_folders_are_moved_continues(tmp_path: Path) -> None:
    datasets.write("clothes", tmp_path, pictures(), 3, ignore)
    (tmp_path / ".clothes.complete").unlink()
    (tmp_path / ".clothes.whole").mkdir()
    (tmp_path / "train").rename(tmp_path / ".clothes.whole/train")
    datasets.check_target("clothes", tmp_path)
    datasets.write("clothes", tmp_path, iter(()), 3, ignore)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".clothes.complete", "test", "train"]


def test_a_folder_with_other_files_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for fetch in (datasets.fetch_digits, datasets.fetch_fashion_mnist):
        with pytest.raises(DatasetError, match="already holds other files; give a folder that is new or empty"):
            fetch(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_place_of_the_folder_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(DatasetError, match="Not a directory"):
        datasets.fetch_digits(tmp_path / "taken")


def test_a_full_disk_is_a_sentence_and_leaves_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Image.Image, path: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DatasetError, match=r"No space left on device; when that is mended, the same command continues"):
        datasets.write("clothes", tmp_path, pictures(), 3, ignore)
    assert not datasets.is_complete("clothes", tmp_path)


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    datasets.write("clothes", tmp_path, pictures(), 3, lambda done, total: steps.append((done, total)))
    assert steps[0] == (0, 3)
    assert steps[-1] == (3, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no gzip", "cannot be read"),
        (gzip.compress(b"\0\0"), "cannot be read"),
        (gzip.compress(struct.pack(">2I", 0x0801, 5) + b"abc"), "is not an IDX file"),
        (gzip.compress(struct.pack(">2I", 0x0D01, 3) + b"abc"), "is not an IDX file"),
    ],
)
def test_a_damaged_idx_file_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=reason):
        datasets.read_idx(path, dimensions=1)


def test_labels_and_images_must_be_as_many(idx_folder: Path) -> None:
    idx(idx_folder / "t10k-labels-idx1-ubyte.gz", (2,), bytes([4, 4]))
    with pytest.raises(DatasetError, match="t10k has 1 images but 2 labels"):
        list(datasets.fashion_mnist(idx_folder))


def test_a_package_with_other_content_is_refused(
    idx_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked = tmp_path / "root"
    (unpacked / "usr/share/datasets").mkdir(parents=True)
    idx_folder.rename(unpacked / "usr/share/datasets/fashion-mnist")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "download_package", lambda work: unpacked)
    with pytest.raises(DatasetError, match="is not the published one"):
        datasets.fetch_fashion_mnist(tmp_path / "target")
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "target").exists()


def test_a_system_without_apt_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DatasetError, match="this system has no apt; fetch it on Debian or Ubuntu, or put"):
        datasets.fetch_fashion_mnist(tmp_path / "target")


def test_sources_without_the_package_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "dpkg-deb"):
        (programs / name).write_text(
            "#!/bin/sh\necho 'E: Unable to locate package dataset-fashion-mnist' >&2\nexit 100\n"
        )
        (programs / name).chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    with pytest.raises(DatasetError, match=r"cannot download dataset-fashion-mnist \(Unable to locate package"):
        datasets.fetch_fashion_mnist(tmp_path / "target")


def test_digits_are_a_folder_per_digit(tmp_path: Path) -> None:
    target = tmp_path / "digits"
    datasets.fetch_digits(target)
    files = list(target.rglob("*.png"))
    assert len(files) == 1797
    assert {path.parent.name for path in files} == set("0123456789")
    levels = set()
    for path in files[:200]:
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("L", (8, 8))
            levels |= set(image.tobytes())
    assert (min(levels), max(levels), len(levels)) == (0, 255, 17)
