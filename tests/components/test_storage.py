"""Images in an object store: the same sources by the same code."""

import csv
import gzip
import io
import logging
import os
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.cloud import storage
from PIL import Image
from tfx.components.example_gen.utils import calculate_splits_fingerprint_span_and_version
from tfx.proto import example_gen_pb2

from components.image_example_gen.config import DataConfig
from components.image_example_gen.sources import DataError, open_source
from components.image_example_gen.spans import resolve
from components.image_example_gen.storage import StorageError, google_client, read_at_most, s3_client, stat
from pipeline.config import ConfigError, PipelineConfig
from pipeline.execution import explain
from pipeline.graph import accepted_schema
from tests.components.conftest import Ingest, Ingested
from tests.kubeflow.store import Store
from tests.serving.stores import gs, s3
from transform import features
from transform.config import from_json


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    s3_client.cache_clear()
    with s3(tmp_path_factory.mktemp("store")) as uri:
        yield uri
    s3_client.cache_clear()


@pytest.fixture(scope="module")
def google_bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    google_client.cache_clear()
    with gs(tmp_path_factory.mktemp("emulator")) as uri:
        yield uri
    google_client.cache_clear()


@pytest.fixture(params=["bucket", "google_bucket"])
def any_bucket(request: pytest.FixtureRequest) -> str:
    """Of an S3 store, and of Google Cloud Storage, where Beam lists and reads all but single images."""
    return request.getfixturevalue(request.param)


def upload(what: Path | bytes, target: str, folder: Path | None = None) -> None:
    if target.startswith("gs://"):
        upload_to_google(what, target)
        return
    store = Store(os.environ["AWS_ENDPOINT_URL"])
    if isinstance(what, bytes):
        assert folder
        (folder / "object").write_bytes(what)
        what = folder / "object"
    store.upload(what, target)


def upload_to_google(what: Path | bytes, target: str) -> None:
    bucket, _, name = target.removeprefix("gs://").partition("/")
    to = storage.Client.create_anonymous_client().bucket(bucket)
    if isinstance(what, bytes):
        to.blob(name).upload_from_string(what)
        return
    for file in what.rglob("*"):
        if file.is_file():
            to.blob(f"{name}/{file.relative_to(what)}").upload_from_filename(str(file))


def records(found: Ingested) -> set[tuple]:
    return {
        (split, *sorted((name, value) for name, value in record.items() if name != features.PATH))
        for split in features.SPLITS
        for record in found.records(split)
    }


def test_a_span_in_a_store_gives_the_records_and_splits_of_the_folder(
    any_bucket: str, pets: Path, ingest: Ingest, tmp_path: Path
) -> None:
    upload(pets, f"{any_bucket}/größe/span-07")
    upload(b"of an earlier span", f"{any_bucket}/größe/span-06/cat/1.png", tmp_path)
    stored = ingest(f"{any_bucket}/größe/span-{{SPAN}}")
    assert stored.examples.span == 7
    assert records(stored) == records(ingest(pets)) and len(stored.splits()) == 90


def test_listings_archives_and_patterns_are_read_from_a_store(any_bucket: str, pets: Path, tmp_path: Path) -> None:
    files = sorted(pets.glob("*/*"))
    upload(pets, f"{any_bucket}/kinds/pets")
    rows, archive = io.StringIO(), io.BytesIO()
    csv.writer(rows).writerows([("path", "label"), *((f"pets/{f.parent.name}/{f.name}", f.parent.name) for f in files)])
    upload(rows.getvalue().encode(), f"{any_bucket}/kinds/pets.csv", tmp_path)
    with zipfile.ZipFile(archive, "w") as stream:
        for file in files:
            stream.write(file, f"{file.parent.name}/{file.name}")
    upload(archive.getvalue(), f"{any_bucket}/kinds/pets.zip", tmp_path)
    expected = {(file.parent.name, file.read_bytes()) for file in files}
    for name in ("pets", "pets/", "pets.csv", "pets.zip"):
        config = DataConfig(path=f"{any_bucket}/kinds/{name}")
        source = open_source(config.path, config)
        found = [item for part in source.parts(3) for item in part.read(part.what, config)]
        assert {(item.label, item.encoded) for item in found} == expected, name
    assert stat(f"{any_bucket}/kinds/pets.zip").size == len(archive.getvalue())


def write_archives(pets: Path, folder: Path) -> list[str]:
    """The pictures as archives, with the names under which they are to be read."""
    with zipfile.ZipFile(folder / "pets.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(pets.glob("*/*")):
            archive.write(file, f"pets/{file.parent.name}/{file.name}")
    for kind in ("", ".gz", ".xz"):
        with tarfile.open(folder / f"pets.tar{kind}", f"w:{kind[1:]}") as archive:
            archive.add(pets, "pets")
    return ["pets.zip", "pets.tar", "pets.tar.gz", "pets.tar.xz"]


def write_tfrecords(pets: Path, folder: Path) -> list[str]:
    """The pictures as TFRecords: in one file, compressed, and in three files."""
    names = ["pets.tfrecord", "pets.tfrecord.gz", *(f"pets/train.tfrecord-{number}-of-3" for number in range(3))]
    (folder / "pets").mkdir()
    examples = []
    for file in sorted(pets.glob("*/*")):
        example = tf.train.Example()
        example.features.feature["image"].bytes_list.value.append(file.read_bytes())
        example.features.feature["label"].bytes_list.value.append(file.parent.name.encode())
        examples.append(example.SerializeToString())
    for number, name in enumerate(names):
        kind = "GZIP" if name.endswith(".gz") else ""
        with tf.io.TFRecordWriter(str(folder / name), kind) as writer:
            for record in examples[number - 2 :: 3] if "/" in name else examples:
                writer.write(record)
    return [*names[:2], "pets/*.tfrecord-*", "pets/train.tfrecord-*-of-3"]


def write_idx(pets: Path, folder: Path) -> list[str]:
    """The pictures' pixels as a pair of IDX files, as it is and compressed."""
    files = sorted(pets.glob("*/*"))
    pixels = np.stack([np.asarray(Image.open(file)) for file in files])
    labels = bytes(sorted({file.parent.name for file in files}).index(file.parent.name) for file in files)
    images = struct.pack(">HBB4I", 0, 8, 4, *pixels.shape) + pixels.tobytes()
    for name, content in (
        ("train-images-idx4-ubyte", images),
        ("train-labels-idx1-ubyte", struct.pack(">HBBI", 0, 8, 1, len(labels)) + labels),
    ):
        (folder / name).write_bytes(content)
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return ["train-images-idx4-ubyte", "train-images-idx4-ubyte.gz"]


@pytest.mark.parametrize("write", [write_archives, write_tfrecords, write_idx])
def test_files_of_many_images_in_a_store_give_the_records_and_splits_of_those_in_a_folder(
    write: Callable[[Path, Path], list[str]], any_bucket: str, pets: Path, ingest: Ingest, tmp_path: Path
) -> None:
    folder = tmp_path / "größe"
    folder.mkdir()
    names = write(pets, folder)
    upload(folder, f"{any_bucket}/{write.__name__} größe")
    for name in names:
        stored, local = ingest(f"{any_bucket}/{write.__name__} größe/{name}"), ingest(f"{folder}/{name}")
        assert len(records(local)) == 90 and records(stored) == records(local), name


def test_what_is_missing_in_a_store_is_said_at_once(any_bucket: str) -> None:
    nowhere = any_bucket.replace("models", "nowhere")
    for path in (f"{nowhere}/pets", f"{nowhere}/pets.csv"):
        with pytest.raises(StorageError, match=f"^{nowhere} cannot be read: there is no such bucket"):
            open_source(path, DataConfig(path=path))
    with pytest.raises(StorageError, match=f"^{nowhere} cannot be read: there is no such bucket"):
        resolve(f"{nowhere}/{{SPAN}}")
    with pytest.raises(DataError, match=f"^{any_bucket}/none does not exist or is empty"):
        open_source(f"{any_bucket}/none", DataConfig(path=f"{any_bucket}/none"))
    with pytest.raises(DataError, match=f"^{any_bucket}/none.csv cannot be read: No such file or directory"):
        open_source(f"{any_bucket}/none.csv", DataConfig(path=f"{any_bucket}/none.csv"))


def test_a_store_without_credentials_is_said_at_once(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    s3_client.cache_clear()
    with pytest.raises(StorageError, match=r"Unable to locate credentials; set AWS_ACCESS_KEY_ID"):
        stat("s3://unasked/x")
    s3_client.cache_clear()


def test_a_file_that_is_gone_is_left_out_but_a_store_that_is_gone_stops_the_run(
    bucket: str,
    pets: Path,
    ingest: Ingest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    upload(pets, f"{bucket}/fading")
    config = DataConfig(path=f"{bucket}/fading")
    (part,) = open_source(config.path, config).parts(1)
    s3_client().delete_object(Bucket="models", Key="fading/cat/07.png")
    left_out = [item for item in part.read(part.what, config) if item.trouble]
    assert [(item.path, item.trouble) for item in left_out] == [
        (f"{bucket}/fading/cat/07.png", "unreadable: No such file or directory")
    ]
    listing = tmp_path / "listing.csv"
    rows = [("path", "label"), (f"{bucket}/fading/cat/01.png", "cat"), ("s3://deleted/dog/01.png", "dog")]
    with listing.open("w") as stream:
        csv.writer(stream).writerows(rows)
    with pytest.raises(StorageError) as no_bucket:
        ingest(listing)
    assert str(no_bucket.value) == "s3://deleted cannot be read: there is no such bucket."

    log = logging.getLogger("tfx_vision.ImageExampleGen")
    caplog.set_level(logging.INFO, log.name)
    handler = logging.Handler()
    handler.emit = lambda record: leave() if "reading" in record.getMessage() else None  # when the listing is done
    log.addHandler(handler)

    def leave() -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        s3_client.cache_clear()

    try:
        with pytest.raises(StorageError) as no_store:
            ingest(config.path, limits={"quarantine": 1.0})
    finally:
        log.removeHandler(handler)
    assert explain(no_store.value).startswith("s3://models cannot be read: Could not connect to the endpoint URL")
    s3_client.cache_clear()


def test_a_file_in_a_store_is_read_up_to_the_limit_or_is_said_to_be_gone(any_bucket: str, tmp_path: Path) -> None:
    for name, content in (("ten", b"0123456789"), ("none", b"")):
        upload(content, f"{any_bucket}/limit/ä {name}", tmp_path)
    assert read_at_most(f"{any_bucket}/limit/ä ten", 4) == b"0123"
    assert read_at_most(f"{any_bucket}/limit/ä ten", 11) == b"0123456789"
    assert read_at_most(f"{any_bucket}/limit/ä none", 4) == b""
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        read_at_most(f"{any_bucket}/limit/gone", 4)


def test_an_accepted_schema_is_read_from_a_store(bucket: str, tmp_path: Path) -> None:
    schema = 'feature { name: "image" type: BYTES } feature { name: "label" type: BYTES }'
    upload(schema.encode(), f"{bucket}/schema.pbtxt", tmp_path)

    def accepted(path: str) -> str:
        settings = {"name": "pets", "data": {"path": str(tmp_path)}, "gate": {"schema": path}}
        return accepted_schema(from_json(PipelineConfig, settings))

    assert accepted(f"{bucket}/schema.pbtxt") == accepted(str(tmp_path / "object")) == schema
    for path in (f"{bucket}/none.pbtxt", str(tmp_path / "none.pbtxt")):
        with pytest.raises(ConfigError, match=f"^gate.schema: {path} cannot be read: No such file or directory"):
            accepted(path)


@pytest.mark.parametrize(
    ("pattern", "folders", "path", "span", "version"),
    [
        ("span-{SPAN}", ["span-9", "span-10"], "span-10", 10, None),
        ("span-{SPAN:3}", ["span-009", "span-010"], "span-010", 10, None),
        ("{SPAN}/v{VERSION}/data", ["1/v7/data", "2/v1/data", "2/v11/data"], "2/v11/data", 2, 11),
        ("{YYYY}-{MM}-{DD}", ["2025-12-31", "2026-01-02"], "2026-01-02", 20455, None),
        ("{YYYY}/{MM}/{DD}/{VERSION:2}", ["2026/01/02/01", "2026/01/02/02"], "2026/01/02/02", 20455, 2),
    ],
)
def test_placeholders_mean_what_they_mean_to_tfx_in_a_folder_and_in_a_store(
    bucket: str, tmp_path: Path, pattern: str, folders: list[str], path: str, span: int, version: int | None
) -> None:
    for folder in folders:
        (tmp_path / folder / "cat").mkdir(parents=True)
        (tmp_path / folder / "cat/1.png").write_bytes(b"1")
    split = example_gen_pb2.Input.Split(name="all", pattern=pattern)
    _, *of_tfx = calculate_splits_fingerprint_span_and_version(str(tmp_path), [split])
    assert (split.pattern, *of_tfx) == (path, span, version)
    root = f"{bucket}/{tmp_path.name}"
    upload(tmp_path, root)
    for base in (str(tmp_path), root):
        assert resolve(f"{base}/{pattern}/") == (f"{base}/{path}", span, version)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("pattern", ["{SPAN}-{SPAN}", "{VERSION}", "{YYYY}-{MM}", "{SPAN}-{YYYY}{MM}{DD}", "{SPAN:0}"])
def test_placeholders_that_tfx_refuses_are_refused(tmp_path: Path, pattern: str) -> None:
    split = example_gen_pb2.Input.Split(name="all", pattern=pattern)
    with pytest.raises(ValueError):
        calculate_splits_fingerprint_span_and_version(str(tmp_path), [split])
    with pytest.raises(DataError):
        resolve(f"{tmp_path}/{pattern}")
