"""Taking a model back, trying one out, keeping the last few: on a folder and in an object store alike."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import versions
from serving.versions import PublishError, WithdrawnError, champion, history, labels, promote, publish, rollback
from tests.serving.cloud_storage import google_cloud_storage


@pytest.fixture(params=["folder", "bucket", "cloud"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder, a prefix of an S3 store, and one of Google Cloud Storage."""
    if request.param == "folder":
        return str(tmp_path / "served")
    return f"{request.getfixturevalue(request.param)}/{tmp_path.name}/served"


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    with google_cloud_storage() as uri:
        yield uri


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "variables.index").write_bytes(b"index")
    return folder


@pytest.fixture
def push(model: Path, destination: str):  # type: ignore[no-untyped-def]
    def push(identity: str, **changes: object) -> versions.Manifest:
        values = {"champion": None, "pipeline": "p", "run": "r", "metrics": {"accuracy": 0.5}} | changes
        return publish(model, destination, model=identity, **values)  # type: ignore[arg-type]

    return push


def test_a_version_is_published_once_and_says_who_and_why(push, destination: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "tf_serving_warmup_requests").write_bytes(b"requests")
    first = push("a", by="ada@laptop", why="accuracy 0.5 is above 0.4", extra=tmp_path / "extra")
    assert (first.version, first.by, first.why, first.metrics) == (
        1,
        "ada@laptop",
        "accuracy 0.5 is above 0.4",
        {"accuracy": 0.5},
    )
    assert sorted(first.files) == [
        "assets.extra/tf_serving_warmup_requests",
        "saved_model.pb",
        "variables/variables.index",
    ]
    assert push("a", run="retry") == first
    folder = versions.fetch_version(destination, 1, tmp_path / "here")
    assert (folder / "assets.extra" / "tf_serving_warmup_requests").read_bytes() == b"requests"
    assert json.loads((folder / "manifest.json").read_text())["version"] == 1
    assert push("b").version == 2
    assert [one.number for one in history(destination)] == [2, 1]


def test_a_rollback_makes_the_older_version_the_champion_and_survives_the_next_push(push, destination: str) -> None:  # type: ignore[no-untyped-def]
    for identity in "abc":
        push(identity)
    assert rollback(destination, by="bo@ops", why="mistakes cats for dogs") == 2
    assert (versions.versions(destination), versions.served_version(destination)) == ([1, 2], 2)
    withdrawn = history(destination)[0]
    assert withdrawn.number == 3 and withdrawn.withdrawal
    assert (withdrawn.withdrawal.by, withdrawn.withdrawal.why, withdrawn.withdrawal.instead) == (
        "bo@ops", "mistakes cats for dogs", 2,
    )  # fmt: skip
    with pytest.raises(WithdrawnError, match=r"as version 3 and withdrawn by bo@ops at .* \(mistakes cats for dogs\)"):
        push("c")
    assert push("d", champion=2).version == 4, "a withdrawn version's number is not used again"
    assert versions.versions(destination) == [1, 2, 4]
    assert rollback(destination) == 2
    assert rollback(destination, 1) == 1
    assert (versions.versions(destination), versions.served_version(destination)) == ([1], 1)
    with pytest.raises(PublishError, match="No version is before 1"):
        rollback(destination)


def test_the_champion_is_what_is_stable_or_what_it_was_judged_against(push, destination: str) -> None:  # type: ignore[no-untyped-def]
    assert champion(destination, "a") is None
    push("a")
    assert champion(destination, "a") is None, "the first was judged against nothing, and is again"
    assert champion(destination, "b") == 1
    push("b", champion=1)
    assert (champion(destination, "b"), champion(destination, "c")) == (1, 2)
    push("c", champion=2, label="canary")
    assert champion(destination, "d") == 2
    rollback(destination, 1)
    assert [champion(destination, model) for model in "bcd"] == [1, 1, 1]
    push("d", champion=1)
    assert (champion(destination, "d"), champion(destination, "e")) == (1, 4)


def test_a_withdrawn_version_can_be_brought_back(push, destination: str) -> None:  # type: ignore[no-untyped-def]
    for identity in "abc":
        push(identity)
    rollback(destination, 1)
    assert rollback(destination, 2) == 2
    assert versions.versions(destination) == [1, 2]
    assert rollback(destination, 3) == 3
    assert versions.versions(destination) == [1, 2, 3]
    assert [one.withdrawal for one in history(destination)] == [None, None, None]
    with pytest.raises(PublishError, match=r"Version 9 is not at .*; there are 1, 2, 3"):
        rollback(destination, 9)


def test_a_canary_is_not_the_champion_until_it_is_promoted(push, destination: str) -> None:  # type: ignore[no-untyped-def]
    push("a", label="canary")
    assert labels(destination) == {"stable": 1}, "the first model has nobody to be tried against"
    push("b", label="canary")
    assert labels(destination) == {"stable": 1, "canary": 2}
    push("c", label="canary")
    assert labels(destination) == {"stable": 1, "canary": 3}
    assert rollback(destination) == 1, "what was pushed last is taken back"
    assert labels(destination) == {"stable": 1}
    push("d", label="canary")
    assert promote(destination) == 4
    assert labels(destination) == {"stable": 4}
    with pytest.raises(PublishError, match="No canary is at"):
        promote(destination)


def test_retention_leaves_what_is_served(push, destination: str) -> None:  # type: ignore[no-untyped-def]
    push("a")
    for identity in "bcde":
        push(identity, label="canary", keep=2)
    assert labels(destination) == {"stable": 1, "canary": 5}
    assert versions.versions(destination) == [1, 4, 5]
    promote(destination)
    push("f", keep=2)
    assert versions.versions(destination) == [5, 6]
    rollback(destination, 5)
    for identity in "gh":
        push(identity, keep=2)
    assert (versions.versions(destination), [one.number for one in history(destination)]) == ([7, 8], [8, 7, 6])
    assert push("a").version == 9, "a removed model may come again, under a number of its own"


def test_nothing_to_go_back_to(destination: str) -> None:
    assert (versions.versions(destination), versions.served_version(destination)) == ([], None)
    with pytest.raises(PublishError, match="No version is at"):
        rollback(destination)
