"""`tfx-vision init`: what is found in a folder of images, and the configuration that is written for it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from components.image_example_gen.folders import DataError
from pipeline.config import PipelineConfig, load_config
from pipeline.starter import StarterError, groups, held_out, pipeline_name, scalar, target_size, write_configuration

Fill = Callable[..., Path]


@pytest.fixture
def fill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fill:
    """Fills a folder with pictures: fill("shapes", {"circle": 3}, mode, size)."""
    monkeypatch.chdir(tmp_path)

    def fill(
        name: str, classes: dict[str, int], mode: str = "RGB", size: tuple[int, int] = (60, 40), suffix: str = ".png"
    ) -> Path:
        for label, count in classes.items():
            (Path(name) / label).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                colour = {"L": 90, "P": 1}.get(mode, (200, 40, index % 256))
                Image.new(mode, size, colour).save(Path(name) / label / f"{index}{suffix}")
        return Path(name)

    return fill


def start(directory: Path) -> tuple[PipelineConfig, str]:
    file, text = write_configuration(directory)
    return load_config(file), text


def test_the_written_configuration_loads_and_says_what_was_found(fill: Fill) -> None:
    config, text = start(fill("shapes", {"circle": 30, "square": 10}))
    assert (config.name, config.data.path, config.data.test_path) == ("shapes", "shapes", None)
    assert (config.transform.height, config.transform.width, config.transform.channels) == (48, 48, 3)
    assert "# 40 images in 2 classes: PNG, colour, 60 x 40 pixels (width x height)." in text
    assert re.search(r"#   circle +30 +75\.0%", text)
    assert config.evaluator.min_accuracy > 0.75  # better than always answering the largest class


def test_the_splits_follow_the_rule_of_thumb(fill: Fill) -> None:
    splits = start(fill("shapes", {"circle": 30, "square": 10}))[0].data.splits
    total = splits.train + splits.eval + splits.test
    assert splits.test / total == splits.eval / total == 0.2


@pytest.mark.parametrize(("images", "percent"), [(2, 20), (999, 20), (1000, 10), (9999, 10), (10_000, 5), (10**6, 5)])
def test_the_larger_the_data_the_less_is_held_out(images: int, percent: int) -> None:
    assert held_out(images)[0] == percent


def test_train_and_test_folders_become_path_and_test_path(fill: Fill) -> None:
    fill("clothes/train", {"bag": 4, "coat": 4}, "L", (28, 28))
    fill("clothes/test", {"bag": 2, "coat": 2}, "L", (28, 28))
    config, text = start(Path("clothes"))
    assert (config.name, config.data.path, config.data.test_path) == ("clothes", "clothes/train", "clothes/test")
    assert config.data.splits.test == 0
    assert (config.transform.height, config.transform.width, config.transform.channels) == (28, 28, 1)
    assert "4 more in clothes/test." in text


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("LA", 1), ("1", 1), ("I;16", 1), ("RGB", 3), ("RGBA", 3), ("CMYK", 3), ("P", 3)]
)
def test_channels_follow_the_images(fill: Fill, mode: str, channels: int) -> None:
    folder = fill("shapes", {"circle": 1, "square": 1})
    for path in folder.rglob("*.png"):
        path.unlink()
        image = Image.new("P" if mode == "P" else "RGB", (10, 10), 1 if mode == "P" else (250, 10, 60))
        if mode == "P":
            image.putpalette([0, 0, 0, 250, 10, 60])
        elif mode == "I;16":
            image = Image.new("I;16", (10, 10), 40_000)
        elif mode != "RGB":
            image = image.convert("RGBA").convert(mode) if mode in ("LA", "RGBA") else image.convert(mode)
        image.save(path.with_suffix(".jpg" if mode == "CMYK" else ".png"))
    assert start(folder)[0].transform.channels == channels


def test_grey_images_stored_as_colour_are_grey(fill: Fill) -> None:
    folder = fill("shapes", {"circle": 2, "square": 2}, "L")
    for path in folder.rglob("*.png"):
        Image.open(path).convert("RGB").save(path)
    assert start(folder)[0].transform.channels == 1


def test_what_hinders_training_is_noted(fill: Fill) -> None:
    folder = fill("shapes", {"circle": 44, "square": 4})
    (folder / "circle/broken.png").write_bytes(b"no image")
    (folder / "circle/picture.tif").write_bytes(b"")
    text = start(folder)[1]
    assert "Note: 1 of 49 cannot be read; shapes/circle/broken.png is none of JPEG, PNG, GIF, BMP, WEBP." in text
    assert "Note: 1 are passed over, shapes/circle/picture.tif for one" in text
    assert "Note: Uneven: circle has over 10 times as many images as square." in text
    assert "Note: Few: square has 4" in text


def test_many_classes_are_abridged(fill: Fill) -> None:
    text = start(fill("shapes", {f"class{index:02}": 1 for index in range(40)}, size=(8, 8)))[1]
    assert "class00" in text and "class39" in text and "class20" not in text
    assert "21 more classes" in text


def test_names_of_any_kind_give_a_file_that_loads(fill: Fill) -> None:
    config, _ = start(fill("My images: #1 'é'", {"a: b #": 2, "línea\nnueva": 2, "- x": 2}))
    assert config.data.path == "My images: #1 'é'"
    assert config.name == "my_images_1"


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ({}, "does not exist or is empty"),
        ({"circle": 3}, "has a single class, circle"),
        ({"circle": 3, "square": 0}, "class square has no images"),
        ({"circle": 0, "square": 0}, "is empty|has no images"),
    ],
)
def test_a_folder_that_cannot_be_classified_is_refused(fill: Fill, classes: dict[str, int], expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        write_configuration(fill("shapes", classes))
    assert not Path("shapes.yaml").exists()


def test_images_outside_of_class_folders_are_refused(fill: Fill) -> None:
    Path("flat").mkdir()
    Image.new("L", (4, 4)).save("flat/1.png")
    with pytest.raises(DataError, match="has no images in class folders"):
        write_configuration(Path("flat"))


def test_a_folder_of_broken_images_is_refused(fill: Fill) -> None:
    folder = fill("shapes", {"circle": 1, "square": 1})
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="none of its images can be read"):
        write_configuration(folder)


def test_a_file_is_replaced_only_by_force(fill: Fill) -> None:
    folder = fill("shapes", {"circle": 2, "square": 2})
    Path("shapes.yaml").write_text("mine")
    with pytest.raises(StarterError, match=r"shapes\.yaml is there already; give another with -o, or --force"):
        write_configuration(folder)
    assert Path("shapes.yaml").read_text() == "mine"
    write_configuration(folder, force=True)
    assert load_config("shapes.yaml").name == "shapes"


def test_it_goes_to_configs_where_that_is(fill: Fill) -> None:
    Path("configs").mkdir()
    assert write_configuration(fill("shapes", {"circle": 2, "square": 2}))[0] == Path("configs/shapes.yaml")


@given(st.lists(st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)), min_size=1))
def test_the_convnet_fits_the_size_it_is_given(sizes: list[tuple[int, int]]) -> None:
    side = min(target_size(sizes))
    assert side <= 128
    for _ in range(groups(side)):  # each group needs two pixels to halve
        assert side >= 2
        side //= 2


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
@example("true")
@example("1")
@example("a\nb")
def test_any_folder_gives_a_valid_name_and_yaml(name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", pipeline_name(Path("data") / name))
    assert yaml.safe_load(f"path: {scalar(name)}") == {"path": name}
