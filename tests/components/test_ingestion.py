"""ImageExampleGen as a whole: the records it writes, where it puts them, and what it leaves out."""

import csv
import io
import json
import os
import shutil
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import tensorflow as tf
from PIL import Image

from components.image_example_gen import shards
from components.image_example_gen.config import DataConfig
from components.image_example_gen.executor import prepare
from components.image_example_gen.ingest import IngestParts
from components.image_example_gen.listed import open_sources
from components.image_example_gen.sources import DataError
from tests.components.conftest import SPLITS, Ingest, picture
from transform import features


def test_facts_are_the_records_without_their_images_row_by_row(pets: Path, ingest: Ingest) -> None:
    found = ingest(pets)
    files = sorted(tf.io.gfile.glob(f"{found.examples.uri}/Split-train/*"))
    assert len(files) == 4
    for file, rows in zip(files, shards.facts_files(found.facts.uri, "train"), strict=True):
        described = [shards.to_facts(row) for row in shards.read_table(rows).to_pylist()]
        for record, facts in zip(shards.read_records(file), described, strict=True):
            feature = tf.train.Example.FromString(record).features.feature
            assert set(feature) == set(facts) - {"perceptual_hash"} | {features.IMAGE}
            assert feature[features.CONTENT_HASH].bytes_list.value[0] == facts[features.CONTENT_HASH]


def test_folders_csv_json_lines_tfrecords_and_zip_give_the_same_records_in_the_same_splits(
    pets: Path, ingest: Ingest, tmp_path: Path
) -> None:
    files = sorted(pets.glob("*/*"))
    with (tmp_path / "pets.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label"), *((file, file.parent.name) for file in files)])
    lines = [json.dumps({"path": f"pets/{file.parent.name}/{file.name}", "label": file.parent.name}) for file in files]
    (tmp_path / "pets.jsonl").write_text("\n".join(reversed(lines)))
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for file in files:
            archive.write(file, f"pets/{file.parent.name}/{file.name}")
    with tf.io.TFRecordWriter(str(tmp_path / "pets.tfrecord")) as writer:
        for file in files:
            example = tf.train.Example()
            example.features.feature["image"].bytes_list.value.append(file.read_bytes())
            example.features.feature["label"].bytes_list.value.append(file.parent.name.encode())
            writer.write(example.SerializeToString())

    def contents(path: Path) -> set[tuple]:
        found = ingest(path, pixel_sample=20)
        return {
            (split, *sorted((name, value) for name, value in record.items() if name != features.PATH))
            for split in features.SPLITS
            for record in found.records(split)
        }

    expected = contents(pets)
    assert len(expected) == 90
    for name in ("pets.csv", "pets.jsonl", "pets.zip", "pets.tfrecord"):
        assert contents(tmp_path / name) == expected, name


def test_added_images_move_no_other_and_a_new_span_is_read_alone(pets: Path, ingest: Ingest, tmp_path: Path) -> None:
    spans = tmp_path / "spans"
    shutil.copytree(pets, spans / "span-1")
    first = ingest(f"{spans}/span-{{SPAN}}")
    for label in ("cat", "dog", "owl"):
        (spans / "span-2" / label).mkdir(parents=True)
        for index in range(20):
            picture(5000 + 100 * ord(label[0]) + index).save(spans / "span-2" / label / f"new{index}.png")
    second = ingest(f"{spans}/span-{{SPAN}}")
    assert (first.examples.span, second.examples.span, second.facts.span) == (1, 2, 2)
    again = ingest(f"{spans}/span-{{SPAN}}", span=1)
    assert (again.examples.span, again.splits()) == (1, first.splits())
    assert len(second.splits()) == 60 and all("/new" in path for path in second.splits())
    shutil.copytree(spans / "span-1", spans / "span-2", dirs_exist_ok=True)
    union = ingest(spans / "span-2").splits()
    assert union == first.splits() | second.splits()


def test_missing_span_is_explained(tmp_path: Path, ingest: Ingest) -> None:
    with pytest.raises(DataError, match="there is no span yet"):
        ingest(f"{tmp_path}/span-{{SPAN}}")
    (tmp_path / "span-1").mkdir()
    with pytest.raises(DataError, match="there is no span 7"):
        ingest(f"{tmp_path}/span-{{SPAN}}", span=7)


def test_stratified_splits_are_exact_in_every_class(pets: Path, ingest: Ingest) -> None:
    found = ingest(pets, splits=SPLITS | {"mode": "stratified"}).splits()
    counts = Counter((path.split("/")[0], split) for path, split in found.items())
    for label, total in (("cat", 50), ("dog", 30), ("owl", 10)):
        assert [counts[label, split] for split in features.SPLITS] == [total * 0.6, total * 0.2, total * 0.2]


def test_groups_stay_together(pets: Path, ingest: Ingest) -> None:
    found = ingest(pets, group=r"/\d(\d)\.png", splits={"train": 1, "eval": 1, "test": 1}).splits()
    by_group: dict[str, set[str]] = {}
    for path, split in found.items():
        by_group.setdefault(path[-5], set()).add(split)
    assert all(len(splits) == 1 for splits in by_group.values()) and len(by_group) == 10


def plant(pets: Path) -> None:
    """A copy under another label, a copy, and a near copy."""
    shutil.copy(pets / "cat/00.png", pets / "dog/contradiction.png")
    shutil.copy(pets / "cat/01.png", pets / "cat/copy.png")
    for index in range(2, 12):  # enough that one lands in another split
        picture(index).resize((25, 25)).save(pets / f"cat/near{index:02}.png")


def test_planted_copies_near_copies_and_contradictions_are_named(pets: Path, ingest: Ingest) -> None:
    plant(pets)
    found = ingest(pets).duplicates
    assert (found["copies"], found["conflicts"], found["near"]) == (2, 1, 10)
    assert found["near_across_splits"] >= 1

    def named(kind: str) -> list[list[str]]:
        groups = [one for one in found["listed"] if one["kind"] == kind]
        assert all(image["picture"].startswith("data:image/png;base64,") for one in groups for image in one["images"])
        return sorted(sorted("/".join(image["path"].split("/")[-2:]) for image in one["images"]) for one in groups)

    assert named("conflict") == [["cat/00.png", "dog/contradiction.png"]]
    assert named("copy") == [["cat/01.png", "cat/copy.png"]]
    assert named("near") == [[f"cat/{index:02}.png", f"cat/near{index:02}.png"] for index in range(2, 12)]


def test_near_copies_are_kept_in_one_split_when_asked(pets: Path, ingest: Ingest) -> None:
    plant(pets)
    found = ingest(pets, duplicates={"together": True})
    assert (found.duplicates["near"], found.duplicates["near_across_splits"]) == (10, 0)
    splits = found.splits()
    assert all(splits[f"cat/{index:02}.png"] == splits[f"cat/near{index:02}.png"] for index in range(2, 12))
    assert len(splits) == 102


def test_contradicting_labels_are_dropped_or_refused_by_policy(pets: Path, ingest: Ingest) -> None:
    plant(pets)
    assert {"cat/00.png", "dog/contradiction.png"} <= set(ingest(pets).splits())
    dropped = ingest(pets, duplicates={"conflicts": "drop"})
    assert not {"cat/00.png", "dog/contradiction.png"} & set(dropped.splits())
    assert len(dropped.splits()) == 100 and dropped.duplicates["conflicts"] == 1
    with pytest.raises(DataError, match=r"cat/00.png \(cat\) and .*dog/contradiction.png \(dog\)"):
        ingest(pets, duplicates={"conflicts": "refuse"})


def test_unusable_files_are_accounted_for_by_reason(pets: Path, ingest: Ingest) -> None:
    (pets / "cat/empty.png").touch()
    (pets / "cat/notes.txt").write_text("not an image")
    (pets / "dog/cut.png").write_bytes((pets / "dog/00.png").read_bytes()[:-30])
    Image.new("1", (9000, 9000)).save(pets / "owl/vast.png")
    found = ingest(pets).quarantine
    assert found["images"] == 94
    assert found["reasons"] == {"empty file": 1, "not an image": 1, "damaged or truncated": 1, "too many pixels": 1}
    assert [Path(one["path"]).name for one in found["left_out"]] == ["empty.png", "notes.txt", "cut.png", "vast.png"]


def test_nothing_of_the_work_is_left_behind(pets: Path, ingest: Ingest, tmp_path: Path) -> None:
    ingest(pets)
    found = [path for path in (tmp_path / "run-0").rglob("*") if path.is_file()]
    assert Counter(path.suffix for path in found) == {".gz": 12, ".parquet": 12, ".json": 2}


def test_other_processes_change_nothing(pets: Path, tmp_path: Path) -> None:
    def ingested(others: int) -> dict[str, bytes]:
        folders = {name: str(tmp_path / str(others) / name) for name in ("examples", "facts", "quarantine")}
        os.makedirs(folders["quarantine"])
        config = DataConfig(path=str(pets))
        _, images, work = prepare(config, open_sources(config), **folders)
        assert images == 90
        worker = IngestParts(others)
        worker.setup()
        deadline = time.monotonic() + 120
        while len(worker._describers.ready) < others and time.monotonic() < deadline:
            worker._describers.welcome()
        for name in work:
            assert list(worker.process(name)) == []
        assert len(worker._describers.ready) == others
        worker.teardown()
        return {
            str(path.relative_to(tmp_path / str(others))): path.read_bytes()
            for kind in ("examples", "facts")
            for path in Path(folders[kind]).rglob("*.*")
        }

    assert ingested(2) == ingested(0)


def test_too_many_unusable_files_or_a_class_of_them_stop_the_run(pets: Path, ingest: Ingest) -> None:
    for index in range(20):
        (pets / f"cat/{index}.txt").write_text("not an image")
    with pytest.raises(DataError, match=r"20 of 110 images \(18.2%\) are unusable \(20 not an image\), more than"):
        ingest(pets)
    assert ingest(pets, limits={"quarantine": 0.2}).quarantine["reasons"] == {"not an image": 20}
    (pets / "bird").mkdir()
    (pets / "bird/1.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"class bird has no images; its 1 files are left out \(1 not an image\)"):
        ingest(pets, limits={"quarantine": 1})


def test_split_without_images_is_an_error_with_a_remedy(tmp_path: Path, ingest: Ingest) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "few" / label).mkdir(parents=True)
        picture(ord(label[0])).save(tmp_path / "few" / label / "1.png")
    with pytest.raises(DataError, match=r"split .* got no image; add images, give it more buckets"):
        ingest(tmp_path / "few")


def test_predefined_splits_are_kept_and_the_rest_goes_by_buckets(pets: Path, ingest: Ingest, tmp_path: Path) -> None:
    for split, digits in (("train", "01234567"), ("test", "89")):
        for file in pets.glob(f"*/?[{digits}].png"):
            target = tmp_path / "authors" / split / file.parent.name
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    found = ingest(tmp_path / "authors", splits={"mode": "predefined", "train": 4, "eval": 1, "test": 0}).splits()
    assert {path for path, split in found.items() if split == "test"} == {
        f"{file.parent.name}/{file.name}" for file in pets.glob("*/?[89].png")
    }
    assert Counter(found.values())["eval"] > 0


def test_bytes_of_the_file_are_kept(pets: Path, ingest: Ingest) -> None:
    buffer = io.BytesIO()
    picture(1, 50).save(buffer, "JPEG", exif=Image.Exif())
    (pets / "cat/photo.jpg").write_bytes(buffer.getvalue())
    found = ingest(pets)
    [record] = [
        one for split in features.SPLITS for one in found.records(split) if one[features.PATH].endswith(b".jpg")
    ]
    assert record[features.IMAGE] == buffer.getvalue()
    assert (record[features.FORMAT], record[features.FILE_BYTES]) == (b"JPEG", len(buffer.getvalue()))
