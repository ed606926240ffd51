"""A folder of images through a saved model into a table."""

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pipeline.console import main

BEAM = ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]


def png(grey: int) -> bytes:
    """A small image of one shade."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4), grey, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module", params=["", "with status"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tells dark from bright; where it has no status, one image that is none spoils a whole request."""
    import tensorflow as tf

    class Brightness(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image")])
        def images(self, image):
            readable = tf.equal(tf.strings.substr(tf.strings.join([image, "0000"]), 1, 3), "PNG")
            decode = lambda one: tf.reduce_mean(tf.cast(tf.io.decode_png(one, channels=1), tf.float32)) / 255  # noqa: E731
            usable = tf.where(readable, image, tf.constant(png(0))) if request.param else image
            bright = tf.map_fn(decode, usable, fn_output_signature=tf.float32)
            probabilities = tf.stack([1 - bright, bright], axis=1)
            classes = tf.constant(["dark", "bright"])
            outputs = {
                "probabilities": probabilities,
                "probability": tf.reduce_max(probabilities, axis=1),
                "label": tf.gather(classes, tf.argmax(probabilities, axis=1)),
                "classes": tf.tile(classes[tf.newaxis], [tf.shape(image)[0], 1]),
            }
            return outputs | ({"status": tf.where(readable, "", "not a PNG")} if request.param else {})

    folder, brightness = tmp_path_factory.mktemp("batch") / "model", Brightness()
    tf.saved_model.save(brightness, str(folder), signatures={"serving_default": brightness.images})
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Good, broken and other files, in folders."""
    folder = tmp_path / "images"
    for name, content in {
        "b/dark.PNG": png(20),
        "a bright, one.png": png(230),
        "broken.png": b"no image",
        "empty.jpg": b"",
        "notes.txt": b"text",
        ".hidden/x.png": png(1),
        **{f"many/{index:04}.png": png(10 if index % 2 else 240) for index in range(1100)},
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_every_image_gets_a_row_and_a_broken_one_spoils_no_other(model: Path, images: Path, tmp_path: Path) -> None:
    from components.batch_prediction.table import predict_folder

    seen: list[tuple[int, int]] = []
    counts = predict_folder(
        str(model),
        str(images),
        tmp_path / "out" / "predictions.csv",
        BEAM,
        probabilities=True,
        advance=lambda done, total: seen.append((done, total)),
    )
    assert counts == (1104, 2)
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "label", "probability", "status", "dark", "bright"]
    assert [row["image"] for row in rows] == sorted(row["image"] for row in rows)
    of = {row["image"]: row for row in rows}
    assert (of["b/dark.PNG"]["label"], of["a bright, one.png"]["label"]) == ("dark", "bright")
    assert float(of["b/dark.PNG"]["dark"]) == pytest.approx(1 - 20 / 255, abs=1e-5)
    assert of["broken.png"]["label"] == "" and of["broken.png"]["status"]
    assert of["empty.jpg"]["status"] == "the file is empty"
    assert [of[f"many/{index:04}.png"]["label"] for index in range(1100)] == ["bright", "dark"] * 550
    assert os.listdir(tmp_path / "out") == ["predictions.csv"]
    assert all(total == 1104 for _, total in seen)


def test_a_failure_leaves_the_table_of_before(images: Path, tmp_path: Path) -> None:
    from components.batch_prediction.table import predict_folder

    output = tmp_path / "predictions.csv"
    output.write_text("before")
    with pytest.raises(Exception, match="does not exist"):
        predict_folder(str(tmp_path / "no model"), str(images), output, BEAM)
    assert output.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_command_writes_the_table_and_says_what_could_not_be_read(
    model: Path, images: Path, tmp_path: Path
) -> None:
    arguments = ["predict", str(images), "--output", str(tmp_path / "p.csv"), "--from", str(model)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "has the predictions of 1,104 images" in done.output and "could not read 2 of them" in done.output
    assert (tmp_path / "p.csv").read_text().count("\n") == 1105


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{images}"], "is a folder; give --output"),
        (["{images}/broken.png", "-o", "x.csv"], "is for the images of a folder"),
        (["{images}", "-o", "x.csv"], "Whose model? Give a run with --from; there is none in runs/"),
        (["{images}", "-o", "x.csv", "--from", "nowhere"], "There is no nowhere"),
        (["{images}/b/..", "-o", "x.csv", "--from", "{images}"], "No model version is in"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], sentence: str, images: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["predict", *(argument.format(images=images) for argument in arguments)])
    assert done.exit_code != 0 and sentence in done.output and "Traceback" not in done.output


def test_a_folder_without_images_is_one_sentence(tmp_path: Path) -> None:
    from components.batch_prediction.images import NoImagesError, list_images

    with pytest.raises(NoImagesError, match="holds no images"):
        list_images(tmp_path)
