"""`tfx-vision schedule`, against a server that has KFP's v2beta1 API."""

from datetime import date

import kfp
import pytest
import yaml
from api_server import running_kubeflow
from click.testing import CliRunner

from pipeline.console import main
from transform.config import to_json


@pytest.fixture
def kubeflow(cluster_config, compiled_file, tmp_path):
    """A server with the compiled pipeline on it, and a function that runs a command and returns what it printed."""
    with running_kubeflow() as (endpoint, cluster):
        kfp.Client(host=endpoint).upload_pipeline(str(compiled_file), pipeline_name="digits")
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(to_json(cluster_config(endpoint=endpoint))))

        def run(command: str, *options: str, status: int = 0) -> str:
            result = CliRunner().invoke(main, ["schedule", command, str(tmp_path / "config.yaml"), *options])
            assert result.exit_code == status, (result.output, result.exception)
            return result.output

        yield cluster, run


def test_schedule_is_set_replaced_shown_and_deleted(kubeflow):
    cluster, run = kubeflow
    assert "digits has no schedule" in run("show")
    run("set", "--cron", "0 30 4 * * *", "--parameter", "epochs=3")
    [first] = cluster.recurring.values()
    assert (first.max_concurrency, first.no_catchup) == (1, True)
    assert run("show") == "digits runs by '0 30 4 * * *', epochs=3 (enabled)\n"
    run("set", "--every", "6h")
    assert run("show") == "digits runs every 21600 s (enabled)\n"
    run("delete")
    assert not cluster.recurring
    assert "digits has no schedule" in run("delete")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "give either --cron or --every"),
        (["--every", "soon"], "--every soon: give a number and m, h or d"),
        (["--every", "6h", "--parameter", "epochs"], "--parameter epochs: give NAME=VALUE"),
        (["--every", "6h", "--parameter", "epocs=3"], "epocs is not a run parameter"),
        (["--cron", "30 4 * * *"], "--cron '30 4 * * *': give six fields"),
        (["--cron", "0 30 4 * * noon"], "Kubeflow Pipelines refused (400 Bad Request)"),
    ],
)
def test_a_mistake_is_told_and_leaves_the_schedule_in_force(kubeflow, options, sentence):
    cluster, run = kubeflow
    run("set", "--every", "1d")
    before = list(cluster.recurring)
    output = run("set", *options, status=2 if "give" in sentence else 1)
    assert sentence in output
    assert list(cluster.recurring) == before


def test_a_span_gets_one_run(kubeflow, tmp_path):
    cluster, run = kubeflow

    def arrive(span: int) -> None:
        folder = tmp_path / f"span-{span}" / "cats"
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(b"an image")

    pattern = f"data.path={tmp_path}/span-{{SPAN}}"
    arrive(1)
    assert "Started digits-span-1\n" in run("new-span", "--set", pattern)
    assert "has had its run" in run("new-span", "--set", pattern)
    arrive(2)
    assert "Started digits-span-2\n" in run("new-span", "--set", pattern)
    assert [(one.display_name, one.runtime_config["parameters"]) for one in cluster.runs.values()] == [
        (f"digits-span-{span}", {"data_path": f"{tmp_path}/span-{{SPAN}}", "span": span}) for span in (1, 2)
    ]
    assert "no {SPAN} or date in it" in run("new-span", status=2)


def test_spans_by_date_and_version_are_found_in_a_store(kubeflow, bucket, tmp_path):
    """And what is wrong with one is told as a fault of the configuration."""
    cluster, run = kubeflow
    for folder in ("2026-01-01/v2", "2026-01-02/v1", "2026-01-02/v10"):
        (tmp_path / "days" / folder / "cats").mkdir(parents=True)
        (tmp_path / "days" / folder / "cats/a.png").write_bytes(b"an image")
    bucket.upload(tmp_path / "days", "s3://pipelines/days")
    pattern = "s3://pipelines/days/{YYYY}-{MM}-{DD}/v{VERSION}"
    day = (date(2026, 1, 2) - date(1970, 1, 1)).days
    assert f"Started digits-span-{day}-version-10\n" in run("new-span", "--set", f"data.path={pattern}")
    [started] = cluster.runs.values()
    assert started.runtime_config["parameters"] == {"data_path": pattern, "span": day}
    for path, sentence in {
        "s3://pipelines/none/{SPAN}": "data.path: s3://pipelines/none/{SPAN}: there is no span yet",
        "s3://nowhere/{SPAN}": "data.path: s3://nowhere cannot be read: there is no such bucket",
        "s3://pipelines/{YYYY}/{SPAN}": "data.path: s3://pipelines/{YYYY}/{SPAN}: ",
    }.items():
        assert sentence in run("new-span", "--set", f"data.path={path}", status=2)
