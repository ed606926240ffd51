"""Every kind of source gives the same images; what their parsers make of odd input."""

import csv
import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.image_example_gen.config import ColumnConfig, DataConfig, RecordConfig, SplitConfig
from components.image_example_gen.listings import choose, parse, resolve
from components.image_example_gen.sources import DataError, Item, fingerprint, kind_of, open_source

Make = Callable[..., str]
DEFAULT = DataConfig(path="x")


def items(path: str, config: DataConfig = DEFAULT, shards: int = 3) -> list[Item]:
    source = open_source(path, config)
    found = [item for part in source.parts(shards) for item in part.read(part.what, config)]
    assert len(found) == source.count()
    return found


def contents(found: list[Item]) -> set[tuple[str, bytes]]:
    return {(item.label, item.encoded) for item in found}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine images in three classes, with nested folders and names of all kinds."""
    names = ("größe/a b.png", "größe/tief/ü,1.png", "größe/3.png", "x/1.png", "x/2.PNG", "x/q'\".png")
    for index, name in enumerate((*names, "y/1", "y/2.png", "y/3")):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 5), 10 * index).save(path, "PNG")
    return tmp_path / "images"


def listed(folder: Path) -> list[tuple[str, str]]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(str(path.relative_to(folder.parent)), path.relative_to(folder).parts[0]) for path in files]


def write_csv(folder: Path) -> str:
    target = folder.parent / "listing.csv"
    with target.open("w", encoding="utf-8-sig", newline="") as stream:
        csv.writer(stream).writerows([("Label", "File"), *((label, path) for path, label in listed(folder))])
    return str(target)


def write_csv_without_header(folder: Path) -> str:
    target = folder.parent / "bare.csv"
    with target.open("w", newline="") as stream:
        csv.writer(stream).writerows([(folder.parent / path, label) for path, label in listed(folder)])
    return str(target)


def write_json(folder: Path) -> str:
    target = folder.parent / "listing.json"
    target.write_text(
        json.dumps([{"image_path": f"file://{folder.parent / path}", "class": label} for path, label in listed(folder)])
    )
    return str(target)


def write_json_lines(folder: Path) -> str:
    target = folder.parent / "listing.jsonl"
    target.write_text("\n".join(json.dumps({"path": path, "label": label}) for path, label in listed(folder)) + "\n\n")
    return str(target)


def write_zip(folder: Path) -> str:
    target = folder.parent / "images.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/images/x/._1.png", b"resource fork")
        for path, _ in listed(folder):
            archive.write(folder.parent / path, path)
    return str(target)


def write_tar(folder: Path) -> str:
    target = folder.parent / "images.tar.gz"
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, "./images")
    return str(target)


def write_tfrecords(folder: Path) -> str:
    (folder.parent / "records").mkdir()
    for shard in range(2):
        target = folder.parent / f"records/part-{shard}.tfrecord.gz"
        with tf.io.TFRecordWriter(str(target), "GZIP") as writer:
            for path, label in listed(folder)[shard::2]:
                example = tf.train.Example()
                example.features.feature["image"].bytes_list.value.append((folder.parent / path).read_bytes())
                example.features.feature["label"].bytes_list.value.append(label.encode())
                writer.write(example.SerializeToString())
    return str(folder.parent / "records/*.tfrecord.gz")


@pytest.mark.parametrize(
    "write",
    [write_csv, write_csv_without_header, write_json, write_json_lines, write_zip, write_tar, write_tfrecords],
)
@pytest.mark.parametrize("shards", [1, 3, 20])
def test_every_kind_of_source_has_the_images_of_the_folder(folder: Path, write: Make, shards: int) -> None:
    expected = contents(items(str(folder)))
    assert len(expected) == 9
    assert contents(items(write(folder), shards=shards)) == expected


def test_idx_files_are_png_images_with_named_classes(tmp_path: Path) -> None:
    pixels = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    images = tmp_path / "train-images-idx3-ubyte.gz"
    images.write_bytes(gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 3, 4, 5) + pixels.tobytes()))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(struct.pack(">HBBI", 0, 8, 1, 3) + bytes([1, 0, 1]))
    )
    config = DataConfig(path=str(images), class_names=["cat", "dog"])
    found = items(str(images), config)
    assert [item.label for item in found] == ["dog", "cat", "dog"]
    for item, expected in zip(found, pixels, strict=True):
        assert (np.asarray(Image.open(io.BytesIO(item.encoded))) == expected).all()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a/b.CSV", "listing"),
        ("gs://b/c.jsonl", "listing"),
        ("c.tar.gz", "archive"),
        ("c.zip", "archive"),
        ("t10k-images-idx3-ubyte", "idx"),
        ("a/data_tfrecord-00000-of-00004.gz", "tfrecords"),
        ("a/*.rec", "tfrecords"),
        ("images.d/train", "folders"),
    ],
)
def test_kind_is_recognised_by_the_path(path: str, kind: str) -> None:
    assert kind_of(path) == kind


def test_hidden_and_sidecar_files_are_passed_over_and_links_followed(folder: Path) -> None:
    before = contents(items(str(folder)))
    for name in ("x/.DS_Store", "x/Thumbs.db", "__MACOSX/x/1.png", ".git/x/1.png", "desktop.ini"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(b"no image")
    outside = folder.parent / "outside"
    outside.mkdir()
    Image.new("L", (4, 5), 200).save(outside / "linked.png")
    (folder / "y/linked").symlink_to(outside)
    (folder / "y/again.png").symlink_to(folder / "y/2.png")
    (folder / "y/cycle").symlink_to(folder / "y")
    found = items(str(folder))
    assert contents(found) == before | {("y", (outside / "linked.png").read_bytes())}
    assert len(found) == 11


def test_link_that_leads_nowhere_is_left_out_with_that_reason(folder: Path) -> None:
    (folder / "x/gone.png").symlink_to("/nowhere")
    [item] = [item for item in items(str(folder)) if item.trouble]
    assert item.trouble.startswith("unreadable: ") and item.path.endswith("gone.png")


def test_listed_files_that_cannot_be_read_or_have_no_label_are_left_out(folder: Path) -> None:
    listing = folder.parent / "listing.csv"
    listing.write_text(
        "path,label\nimages/x/1.png,x\nimages/y/1,y\nimages/x/absent.png,x\nimages/x/2.PNG,\nhttp://a/b.png,x\n"
    )
    troubles = {Path(item.path).name: item.trouble.partition(":")[0] for item in items(str(listing))}
    assert troubles == {"1.png": "", "1": "", "absent.png": "unreadable", "2.PNG": "no label", "b.png": "unreadable"}


def test_predefined_splits_of_folders_and_listings(folder: Path, tmp_path: Path) -> None:
    config = DataConfig(path="x", splits=SplitConfig(mode="predefined", eval=0, test=0))
    root = tmp_path / "split"
    for split, name in (("train", "x/1.png"), ("validation", "x/2.PNG"), ("test", "y/1"), ("train", "y/2.png")):
        (root / split / name).parent.mkdir(parents=True, exist_ok=True)
        (root / split / name).write_bytes((folder / name).read_bytes())
    found = {(item.label, item.split) for item in items(str(root), config)}
    assert found == {("x", "train"), ("y", "train"), ("x", "eval"), ("y", "test")}
    listing = tmp_path / "split.csv"
    listing.write_text("path,label,split\nimages/x/1.png,x,Train\nimages/y/1,y,val\nimages/y/2.png,y,\n")
    assert [item.split for item in sorted(items(str(listing), config))] == ["train", "eval", ""]


def test_groups_come_from_a_pattern_or_a_column(folder: Path) -> None:
    config = DataConfig(path="x", group=r"/(\d)")
    with pytest.raises(DataError, match="finds nothing in größe/a b"):
        items(str(folder), config)
    assert {item.group for item in items(str(folder), DataConfig(path="x", group=r"^([^/]+)/"))} == {"größe", "x", "y"}
    listing = folder.parent / "listing.csv"
    listing.write_text("path,label,patient\nimages/x/1.png,x,7\nimages/y/1,y,8\n")
    config = DataConfig(path="x", columns=ColumnConfig(group="patient"))
    assert {item.group for item in items(str(listing), config)} == {"7", "8"}


def test_names_of_features_and_numbers_of_classes_in_tfrecords(tmp_path: Path) -> None:
    example = tf.train.Example()
    example.features.feature["pixels"].bytes_list.value.append(b"png")
    example.features.feature["y"].int64_list.value.append(1)
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(example.SerializeToString())
    path = str(tmp_path / "a.tfrecord")
    with pytest.raises(DataError, match=r"has no feature 'image' \(data\.records\.image\); it has pixels, y"):
        items(path)
    config = DataConfig(path=path, records=RecordConfig(image="pixels", label="y"), class_names=["cat", "dog"])
    assert [(item.label, item.encoded) for item in items(path, config)] == [("dog", b"png")]
    (tmp_path / "a.tfrecord").write_bytes((tmp_path / "a.tfrecord").read_bytes()[:-2])
    with pytest.raises(DataError, match="is not a whole TFRecord file"):
        items(path, config)


def test_encrypted_and_oversized_members_are_left_out(folder: Path) -> None:
    path = Path(write_zip(folder))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/x/zeros.png", bytes(40 * 2**20))
    [item] = [item for item in items(str(path)) if item.trouble]
    assert item.trouble.startswith("too many bytes: 41,943,040")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.csv", "", "lists no images"),
        ("a.csv", "name,kind\na.png,cat\n", "no column for the path"),
        ("a.csv", "path,label\na.png,cat,dog\n", "line 2 has 3 columns, not 2"),
        ("a.csv", 'path,label\n"a.png,cat\n', "line 2: unexpected end of data"),
        ("a.csv", "path,label\na.png,cat\nb.png,cat\n", "has a single class, cat"),
        ("a.json", '[{"path": "a", ', "line 1: "),
        ("a.jsonl", '{"path": "a"}\n["b"]\n', "entry 2 is not an object"),
        ("a.jsonl", '{"path": "a"}\n', "no column for the label"),
    ],
)
def test_listing_that_cannot_be_used_is_explained(tmp_path: Path, name: str, text: str, sentence: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=sentence):
        items(str(tmp_path / name))


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)
rows = st.lists(st.tuples(cells.filter(lambda text: text.strip()), cells), min_size=1, max_size=8)


@given(rows, st.booleans())
def test_what_a_csv_writer_writes_is_read_back(written: list[tuple[str, str]], quoted: bool) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows([("path", "label"), *written])
    found = list(choose(list(parse(buffer.getvalue(), "a.csv", DEFAULT)), DEFAULT))
    assert [(row["path"], row["label"]) for row in found] == [(path, label.strip()) for path, label in written]


@given(rows, st.sampled_from(["lines", "array"]), st.booleans())
def test_what_a_json_writer_writes_is_read_back(written: list[tuple[str, str]], form: str, ascii: bool) -> None:
    objects = [{"path": path, "label": label, "extra": [1, {}]} for path, label in written]
    if form == "lines":
        text = "\n".join(json.dumps(one, ensure_ascii=ascii) for one in objects)
    else:
        text = json.dumps(objects, ensure_ascii=ascii, indent=1)
    found = list(choose(list(parse(text, "a.jsonl", DEFAULT)), DEFAULT))
    assert [(row["path"], row["label"]) for row in found] == [(path, label.strip()) for path, label in written]


@given(st.text(), st.sampled_from(["a.csv", "a.tsv", "a.json"]))
def test_any_text_is_parsed_or_refused_with_a_reason(text: str, name: str) -> None:
    try:
        found = list(choose(list(parse(text, name, DEFAULT)), DEFAULT))
    except ValueError as error:
        assert str(error)
    else:
        assert all(row["path"].strip() for row in found)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/b.png", "gs://x/data/a/b.png"),
        ("/a.png", "/a.png"),
        ("s3://y/a.png", "s3://y/a.png"),
        ("file:///a b", "/a b"),
    ],
)
def test_paths_in_listings_are_relative_to_it(path: str, expected: str) -> None:
    assert resolve(path, "gs://x/data") == expected


def test_fingerprint_changes_with_labels_and_groups_of_a_listing(folder: Path) -> None:
    listing = folder.parent / "listing.csv"
    prints = []
    for text in ("1.png,x", "1.png,y", "2.PNG,x"):
        listing.write_text(f"path,label\nimages/x/{text}\nimages/y/1,z\n")
        prints.append(fingerprint(open_source(str(listing), DEFAULT).files))
    assert len(set(prints)) == 3
