"""The pushed directory: exactly once, whole, in rising order, whatever happens in the middle."""

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving import versions
from serving.destination import folder as folders
from serving.versions import PublishError, publish, read_manifest, served_version

SOURCE = Path(__file__).parents[2]
PUSH = """
import sys
from serving.versions import publish
model, destination, *identities = sys.argv[1:]
for identity in identities:
    manifest = publish(model, destination, model=identity, champion=None, pipeline="p", run="r", metrics={})
    print(manifest.version, manifest.model)
"""
STALL_IN_COPY = (
    "import time, serving.destination.folder as f\nf._copy_file = lambda s, t: (t.touch(), time.sleep(60))\n"
)
LINGER_IN_LOCK = """
import time
from serving.destination.folder import Folder
take = Folder._take_number
Folder._take_number = lambda *a: (take(*a), time.sleep(0.1))[0]
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder as TensorFlow writes it, 300 kB."""
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "assets").mkdir()
    (folder / "saved_model.pb").write_bytes(b"graph" * 20_000)
    (folder / "variables" / "variables.index").write_bytes(b"index" * 40_000)
    (folder / "assets" / "labels").write_text("cat\ndog\n")
    return folder


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "served"


def push(model: Path, destination: Path, identity: str = "a", **changes: object) -> versions.Manifest:
    values = {"champion": None, "pipeline": "digits", "run": "run-1", "metrics": {"accuracy": 0.9}} | changes
    return publish(model, destination, model=identity, **values)  # type: ignore[arg-type]


def start_push(model: Path, destination: Path, *identities: str, before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", before + PUSH, str(model), str(destination), *identities]
    return subprocess.Popen(command, cwd=SOURCE, text=True, stdout=subprocess.PIPE)


def leftovers(destination: Path) -> list[str]:
    return sorted(path.name for path in destination.iterdir() if path.name.startswith(".staging"))


def test_a_version_holds_the_model_and_what_is_known_of_it(model: Path, destination: Path) -> None:
    manifest = push(model, destination, champion=None)
    assert (manifest.version, manifest.pipeline, manifest.run) == (1, "digits", "run-1")
    assert read_manifest(destination, 1) == manifest
    files = {path.relative_to(model).as_posix(): path for path in model.rglob("*") if path.is_file()}
    assert manifest.files == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    for name, path in files.items():
        assert (destination / "1" / name).read_bytes() == path.read_bytes()
    assert leftovers(destination) == []


def test_the_same_model_is_pushed_once(model: Path, destination: Path) -> None:
    first = push(model, destination, "a")
    push(model, destination, "b", champion=1)
    assert push(model, destination, "a", run="run-2") == first
    assert versions.versions(destination) == [1, 2]


def test_the_highest_complete_version_is_served(model: Path, destination: Path) -> None:
    assert served_version(destination) is None
    push(model, destination, "a")
    (destination / "7").mkdir()
    (destination / "not-a-version").mkdir()
    assert served_version(destination) == 1
    assert push(model, destination, "b").version == 8, "an incomplete version's number is taken"
    (destination / "0000012").mkdir()
    (destination / "0000012" / "saved_model.pb").touch()
    assert served_version(destination) == 12, "TensorFlow Serving reads leading zeros too"


def test_a_deleted_number_is_not_used_again(model: Path, destination: Path) -> None:
    push(model, destination, "a")
    second = push(model, destination, "b")
    (destination / "2").rename(destination / "gone")
    assert served_version(destination) == 1
    assert push(model, destination, "c").version == second.version + 1


def test_a_version_from_elsewhere_has_no_manifest(model: Path, destination: Path) -> None:
    (destination / "3").mkdir(parents=True)
    (destination / "3" / "saved_model.pb").touch()
    assert read_manifest(destination, 3) is None
    assert read_manifest(destination, 4) is None
    assert push(model, destination).version == 4


def test_a_manifest_that_cannot_be_read_is_named(model: Path, destination: Path) -> None:
    push(model, destination)
    (destination / "1" / "manifest.json").write_text('{"version": 1}')
    with pytest.raises(ValueError, match=r"manifest\.json is not a manifest .* restore it, or remove version 1"):
        read_manifest(destination, 1)


def test_a_pushed_model_can_be_pushed_elsewhere(model: Path, destination: Path, tmp_path: Path) -> None:
    files = push(model, destination).files
    assert push(destination / "1", tmp_path / "other").files == files


def test_pushes_at_the_same_time_take_turns(model: Path, destination: Path) -> None:
    identities = [f"model-{number}" for number in range(6)]
    pushes = [start_push(model, destination, *identities, before=LINGER_IN_LOCK) for _ in range(3)]
    pushed = {line for process in pushes for line in process.communicate(timeout=60)[0].splitlines()}
    assert [process.returncode for process in pushes] == [0, 0, 0]
    assert pushed == {f"{number} {identity}" for number, identity in enumerate(identities, 1)}
    assert versions.versions(destination) == list(range(1, 7))
    assert leftovers(destination) == []


def test_a_killed_push_leaves_no_version_and_is_cleaned_up(model: Path, destination: Path) -> None:
    killed, alive = (start_push(model, destination, name, before=STALL_IN_COPY) for name in ("killed", "alive"))
    try:
        deadline = time.monotonic() + 60
        while len(list(destination.glob(".staging-*/model/*.pb"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert len(leftovers(destination)) == 2
        assert served_version(destination) is None
        assert push(model, destination).version == 1
        assert len(leftovers(destination)) == 1, "the push that is alive keeps its folder"
    finally:
        for process in (killed, alive):
            process.kill()
            process.communicate()
    assert push(model, destination, "b").version == 2
    assert leftovers(destination) == []


def test_a_push_killed_before_its_last_step_skips_a_number(
    model: Path, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "rename", die)
        push(model, destination)
    assert versions.versions(destination) == []
    assert push(model, destination).version == 2


@pytest.mark.parametrize("step", ["_copy_file", "_write"])
def test_a_full_disk_leaves_nothing_behind(
    model: Path, destination: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(PublishError, match=r"is full: the model .* needs 0\.3 MB"):
        patch.setattr(folders, step, full)
        push(model, destination)
    assert versions.versions(destination) == leftovers(destination) == []
    assert push(model, destination).version == 1


def test_a_model_that_is_none_is_refused(tmp_path: Path, destination: Path) -> None:
    with pytest.raises(PublishError, match=r"holds no saved_model\.pb; give the folder of a SavedModel"):
        push(tmp_path / "nothing", destination)
    assert not destination.exists()


def test_a_destination_that_is_no_folder_is_refused(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PublishError, match=r"could not be pushed to .*/file/served: Not a directory"):
        push(model, tmp_path / "file" / "served")
    with pytest.raises(PublishError, match="ftp://host/served is not a folder, s3://BUCKET/PREFIX or gs://"):
        push(model, "ftp://host/served")  # type: ignore[arg-type]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_destination_without_the_right_to_write_is_refused(model: Path, destination: Path) -> None:
    destination.mkdir(mode=0o500)
    with pytest.raises(PublishError, match="is not this user's to read or write"):
        push(model, destination)
