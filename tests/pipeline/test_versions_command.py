"""`versions`, `rollback` and `promote`, as somebody types them."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.console import main
from serving.versions import publish
from tests.serving.cloud_storage import google_cloud_storage
from tests.serving.stores import s3


def tfx_vision(*words: str) -> Any:
    return CliRunner().invoke(main, words)


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A run that pushed two models and has a third on trial."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").touch()
    for number, accuracy in enumerate((0.5, 0.75, 0.875), 1):
        publish(
            tmp_path / "model", tmp_path / "cats" / "serving", model=f"model {number}", champion=number - 1 or None,
            pipeline="cats", run="r", metrics={"accuracy": accuracy}, by="ada@laptop", why=f"reason {number}",
            label="canary" if number == 3 else "stable",
        )  # fmt: skip
    return str(tmp_path / "cats")


def test_versions_are_listed_the_newest_first(run: str) -> None:
    lines = tfx_vision("versions", run).output.splitlines()
    numbered = [line for line in lines if line[:4].strip()]
    assert [line[:15].split() for line in numbered] == [["3", "canary"], ["2", "stable"], ["1"]]
    assert "ada@laptop  accuracy 0.875" in lines[0]
    assert lines[1].strip() == "reason 3" and lines[2].strip() == "judged against version 2"
    versions = json.loads(tfx_vision("versions", run, "--json").output)
    assert [(one["number"], one["label"], one["manifest"]["metrics"]) for one in versions] == [
        (3, "canary", {"accuracy": 0.875}), (2, "stable", {"accuracy": 0.75}), (1, None, {"accuracy": 0.5}),
    ]  # fmt: skip


def test_back_and_forth(run: str) -> None:
    assert tfx_vision("promote", run).output == "Version 3 is stable.\n"
    assert tfx_vision("rollback", run, "--why", "takes cats for dogs").output == "Version 2 is stable.\n"
    output = tfx_vision("versions", run).output
    assert "3  withdrawn" in output and "for version 2: takes cats for dogs" in output
    assert tfx_vision("rollback", run, "3").output == "Version 3 is stable.\n"
    assert "withdrawn" not in tfx_vision("versions", run).output


def test_mistakes_are_sentences(run: str, tmp_path: Path) -> None:
    result = tfx_vision("rollback", run, "9")
    assert result.exit_code and "Version 9 is not at" in result.output and "there are 1, 2, 3" in result.output
    (tmp_path / "empty" / "serving").mkdir(parents=True)
    result = tfx_vision("versions", str(tmp_path / "empty"))
    assert result.exit_code and "run the pipeline until it pushes a blessed model" in result.output
    result = tfx_vision("promote", str(tmp_path / "empty"))
    assert result.exit_code and "No canary is at" in result.output


def test_what_servers_on_a_cluster_do_not_find_out_is_said(run: str, tmp_path: Path) -> None:
    models, config = Path(run) / "serving", tmp_path / "cats config.yaml"
    config.write_text(
        f"name: cats\ndata:\n  path: .\npusher:\n  destination: {models}\n"
        f"kubeflow:\n  image: i\n  volumes: [{{claim: models, path: {tmp_path}}}]\n"
    )
    output = tfx_vision("promote", str(config)).output
    assert output.startswith("Version 3 is stable.\nTensorFlow Serving on a cluster follows by itself, unless")
    again = f"serving manifests '{config}' -o {tmp_path}/out --label stable=3"
    assert again.replace(f"{tmp_path}/out", "kfp/serving") in output
    result = tfx_vision(*shlex.split(again))
    assert result.exit_code == 0, result.output
    assert 'version_labels { key: "stable" value: 3 }' in (tmp_path / "out" / "config.yaml").read_text()
    config.write_text(f"name: cats\ndata:\n  path: .\npusher:\n  destination: {models}\n")
    assert tfx_vision("rollback", str(config)).output == "Version 2 is stable.\n"


def test_object_stores_are_read_by_servers_on_a_cluster(run: str, tmp_path: Path) -> None:
    with google_cloud_storage() as store:
        for number, label in ((1, "stable"), (2, "canary")):
            publish(tmp_path / "model", f"{store}/cats", model=f"{number}", champion=None, pipeline="cats", run="r",
                    metrics={}, label=label)  # fmt: skip
        assert (
            "serving manifests CONFIG -o kfp/serving --label stable=2\n"
            in tfx_vision("promote", f"{store}/cats").output
        )
        assert "--label stable=1\n" in tfx_vision("rollback", f"{store}/cats").output


def test_kserve_copies_from_s3_at_its_start(run: str, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with s3(tmp_path / "store") as store:
        for number in (1, 2):
            publish(tmp_path / "model", f"{store}/cats_2", model=f"{number}", champion=None, pipeline="cats", run="r",
                    metrics={})  # fmt: skip
        output = tfx_vision("rollback", f"{store}/cats_2").output
    assert output.startswith("Version 1 is stable.\n")
    assert "kubectl rollout restart deployment/cats-2-predictor" in output
