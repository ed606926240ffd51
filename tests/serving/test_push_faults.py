"""Kills, two pushes at once, a full disk, a destination that goes away: never half a model, never two of one."""

import contextlib
import ctypes
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from serving import versions
from serving.destination.folder import Folder
from serving.versions import PublishError, publish
from tests.serving.running import SOURCE

PUSH = """
import sys
from serving.versions import publish
model, destination, *identities = sys.argv[1:]
for identity in identities:
    manifest = publish(model, destination, model=identity, champion=None, pipeline="p", run="r", metrics={})
    print(identity, manifest.version)
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(os.urandom(100_000))
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(os.urandom(400_000))
    return folder


def kill_pushes(destination: str, model: Path, kills: int) -> Counter:
    command = [sys.executable, "-m", "tests.serving.kills", destination, str(model), str(kills), "7"]
    process = subprocess.run(command, cwd=SOURCE, text=True, capture_output=True)
    assert process.returncode == 0, process.stderr
    return Counter(json.loads(process.stdout))


@pytest.mark.parametrize("kills", [25, pytest.param(200, marks=pytest.mark.slow)])
def test_pushes_killed_at_any_moment(model: Path, tmp_path: Path, kills: int) -> None:
    found = kill_pushes(str(tmp_path / "served"), model, kills)
    assert found["kills"] == kills
    assert found["before"] > 0, "some kills came before the version was there"


@pytest.mark.parametrize("kills", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_pushes_to_an_object_store_killed_at_any_moment(model: Path, bucket: str, kills: int) -> None:
    found = kill_pushes(f"{bucket}/kills-{kills}", model, kills)
    assert found["before"] > 0


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_pushes_at_once_give_each_model_one_version(
    model: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    destination = str(tmp_path / "served")
    if kind == "bucket":
        destination = f"{request.getfixturevalue('bucket')}/together"
    identities = ["a", "b"]
    command = [sys.executable, "-c", PUSH, str(model), destination, *identities]
    pushes = [subprocess.Popen(command, cwd=SOURCE, text=True, stdout=subprocess.PIPE) for _ in range(2)]
    answers = [dict(line.split() for line in process.communicate()[0].splitlines()) for process in pushes]
    assert answers[0] == answers[1], "every push learns the same numbers"
    assert sorted(answers[0]) == identities
    assert sorted(map(int, answers[0].values())) == versions.versions(destination)
    assert len(set(answers[0].values())) == len(identities)


def test_a_push_that_died_in_an_object_store_is_finished_by_a_retry_and_not_in_front_of_a_later_one(
    model: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from serving.destination.objects import S3

    destination, copy = f"{bucket}/died", S3.copy

    def die(self: S3, source: str, target: str) -> None:
        if target.endswith("saved_model.pb"):
            raise KeyboardInterrupt
        copy(self, source, target)

    def push(identity: str) -> int:
        return publish(model, destination, model=identity, champion=None, pipeline="p", run="r", metrics={}).version

    for identity in ("retried", "late"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(S3, "copy", die)
            push(identity)
    assert versions.versions(destination) == []
    assert push("retried") == 1, "its number was taken for it, and nothing has come after it"
    assert push("other") == 4
    assert push("late") == 2, "the last object was all that was missing; the number was decided"
    assert versions.served_version(destination) == 4


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root may mount a small disk")
def test_a_disk_that_is_really_full(model: Path, tmp_path: Path) -> None:
    disk, fitted = tmp_path / "disk", []
    disk.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(disk).encode(), b"tmpfs", 0, b"size=1200k"):
        pytest.skip(f"mounting is not allowed here: {os.strerror(ctypes.get_errno())}")
    try:
        destination = disk / "served"
        publish(model, destination, model="a", champion=None, pipeline="p", run="r", metrics={})
        for room in range(0, 680, 60):  # a little less room each time, so that another step meets the full disk
            (disk / "filler").write_bytes(bytes(room * 1000))
            with contextlib.suppress(PublishError):
                publish(model, destination, model=f"b{room}", champion=1, pipeline="p", run="r", metrics={})
                fitted.append(room)
            for number in versions.versions(destination):
                manifest, folder = versions.read_manifest(destination, number), destination / str(number)
                assert manifest and all((folder / name).stat().st_size for name in manifest.files)
                if number > 1:
                    Folder(destination).remove(number)
            assert not list(destination.glob(".staging*"))
            (disk / "filler").unlink()
        assert 0 < len(fitted) < 10, "some pushes fitted and some did not"
        (disk / "filler").write_bytes(bytes(500_000))
        with pytest.raises(PublishError, match=r"is full: the model .* needs 0\.5 MB"):
            publish(model, destination, model="c", champion=1, pipeline="p", run="r", metrics={})
    finally:
        libc.umount2(str(disk).encode(), 2)


def test_a_destination_that_goes_away_in_the_middle(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination, place = tmp_path / "served", Folder.place

    def vanish(self: Folder, *arguments: object) -> int:
        shutil.rmtree(destination)
        return place(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(PublishError, match=r"could not be pushed to .*: No such file"):
        patch.setattr(Folder, "place", vanish)
        publish(model, destination, model="a", champion=None, pipeline="p", run="r", metrics={})
    assert not destination.exists()
    assert publish(model, destination, model="a", champion=None, pipeline="p", run="r", metrics={}).version == 1


def test_a_destination_that_comes_and_goes(model: Path, tmp_path: Path) -> None:
    destination, stop = tmp_path / "served", threading.Event()

    def flicker() -> None:
        while not stop.wait(0.003):
            try:
                destination.rename(tmp_path / "away")
                time.sleep(0.001)
                (tmp_path / "away").rename(destination)
            except OSError:  # a push has made the folder anew: the two are different destinations now
                shutil.rmtree(tmp_path / "away", ignore_errors=True)

    thread = threading.Thread(target=flicker)
    thread.start()
    try:
        for index in range(30):
            with contextlib.suppress(PublishError):
                publish(model, destination, model=f"m{index}", champion=None, pipeline="p", run="r", metrics={})
    finally:
        stop.set()
        thread.join()
    for folder in destination.glob("[0-9]*"):
        manifest = versions.read_manifest(destination, int(folder.name))
        assert manifest and all((folder / name).is_file() for name in manifest.files), "a version is whole or not there"


def test_a_store_that_cannot_be_reached_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    with pytest.raises(PublishError, match=r"s3://models/served cannot be used: Could not connect to the endpoint URL"):
        publish(model, "s3://models/served", model="a", champion=None, pipeline="p", run="r", metrics={})
