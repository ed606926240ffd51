"""The `tfx` command with --engine=kubeflow, against a server that has KFP's v2beta1 API."""

import subprocess
import sys
from pathlib import Path

import kfp
import pytest
import yaml
from api_server import running_kubeflow

from transform.config import to_json

PROJECT = Path(__file__).parents[2]
RUNNER = str(PROJECT / "kfp/kubeflow_runner.py")


@pytest.fixture(scope="module")
def kubeflow():
    with running_kubeflow() as (endpoint, cluster):
        yield endpoint, cluster


@pytest.fixture(scope="module")
def tfx(kubeflow, cluster_config, tmp_path_factory):
    """Runs a command and returns what it printed."""
    from click.testing import CliRunner
    from tfx.tools.cli.cli_main import cli_group

    from pipeline.kubeflow import tfx_cli

    tfx_cli.add_endpoint(cli_group)
    folder = tmp_path_factory.mktemp("tfx")
    (folder / "config.yaml").write_text(yaml.safe_dump(to_json(cluster_config())))
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"

    def run(command: str, *options: str, status: int = 0) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(sys.modules, tfx_cli.HANDLER, tfx_cli)
            patch.setenv("TFX_VISION_CONFIG", str(folder / "config.yaml"))
            patch.setenv("PATH", path)
            patch.chdir(folder)
            where = [] if command == "pipeline compile" else ["--endpoint", kubeflow[0], "--namespace", "kubeflow"]
            result = CliRunner().invoke(cli_group, [*command.split(), "--engine=kubeflow", *where, *options])
        assert result.exit_code == status, (result.output, result.exception)
        return result.output

    run.folder = folder
    return run


def test_compile_writes_what_tfx_vision_compile_writes(tfx, compiled_file):
    assert "digits.yaml" in tfx("pipeline compile", "--pipeline_path", RUNNER)
    assert (tfx.folder / "digits.yaml").read_bytes() == compiled_file.read_bytes()


def test_a_pipeline_s_life(tfx, kubeflow):
    """Created, refused a second time, updated, run with a parameter, watched, stopped, deleted."""
    _, cluster = kubeflow
    assert "no pipeline digits" in tfx("run create", "--pipeline_name", "digits", status=1)
    assert '"digits" created' in tfx("pipeline create", "--pipeline_path", RUNNER)
    assert "there is a pipeline digits already" in tfx("pipeline create", "--pipeline_path", RUNNER, status=1)
    assert '"digits" updated' in tfx("pipeline update", "--pipeline_path", RUNNER)
    assert "digits" in tfx("pipeline list")
    assert len(cluster.versions) == 2

    tfx("run create", "--pipeline_name", "digits", "--runtime_parameter", "epochs=3")
    for wrong in ("epocs=3", "epochs=three"):
        tfx("run create", "--pipeline_name", "digits", "--runtime_parameter", wrong, status=1)
    [run] = cluster.runs.values()
    assert run.runtime_config["parameters"] == {"epochs": 3}
    for _ in range(3):  # more than one page of the server's
        tfx("run create", "--pipeline_name", "digits")
    assert all(one in tfx("run list", "--pipeline_name", "digits") for one in cluster.runs)
    assert "PENDING" in tfx("run status", "--pipeline_name", "digits", "--run_id", run.run_id)
    tfx("run terminate", "--run_id", run.run_id)
    assert run.state == "CANCELING"
    tfx("run delete", "--run_id", run.run_id)
    assert run.run_id not in cluster.runs

    tfx("pipeline delete", "--pipeline_name", "digits")
    assert not cluster.pipelines and not cluster.versions
    assert len(cluster.runs) == 3


def test_schema_is_that_of_the_newest_run_that_wrote_one(tfx, kubeflow, bucket, tmp_path):
    endpoint, cluster = kubeflow

    def schema(status: int = 0) -> str:
        return tfx("pipeline schema", "--pipeline_name", "digits", status=status)

    def create_run() -> str:
        client = kfp.Client(host=endpoint)
        [pipeline], [version] = cluster.pipelines, cluster.versions
        experiment = client.create_experiment("digits").experiment_id
        return client.run_pipeline(experiment, "digits", pipeline_id=pipeline, version_id=version).run_id

    def write(run: str, uuid: str, text: str) -> str:
        (tmp_path / "schema.pbtxt").write_text(text)
        uri = f"s3://pipelines/v2/artifacts/digits/{run}/SchemaGen/{uuid}/schema/schema.pbtxt"
        bucket.upload(tmp_path / "schema.pbtxt", uri)
        return uri

    cluster.runs.clear()
    assert "there is no pipeline digits" in schema(1)
    tfx("pipeline create", "--pipeline_path", RUNNER)
    assert "digits has no run yet" in schema(1)
    first, second = create_run(), create_run()
    assert "no run of digits has written a schema yet" in schema(1)
    write(first, "0a", "feature { name: 'old' }")
    uri = write(second, "0b", "feature { name: 'new' }")
    assert f"Schema of run {second}: {uri}\nfeature {{ name: 'new' }}\n" in schema()
    create_run()
    assert f"Schema of run {second}; 1 newer took theirs from the cache or have not come to it: {uri}" in schema()


def test_a_store_that_schema_cannot_read_is_told(tfx, kubeflow, bucket):
    _, cluster = kubeflow
    for version in cluster.versions.values():
        version.pipeline_spec["pipeline_spec"]["defaultPipelineRoot"] = "minio://nowhere/v2"
    assert "s3://nowhere cannot be read: there is no such bucket" in tfx(
        "pipeline schema", "--pipeline_name", "digits", status=1
    )
    for version in cluster.versions.values():
        del version.pipeline_spec["pipeline_spec"]["defaultPipelineRoot"]
    assert "compiled without kubeflow.pipeline_root" in tfx("pipeline schema", "--pipeline_name", "digits", status=1)


def test_the_script_of_this_environment_is_repaired_and_explains_itself():
    """Stock TFX dies of an import here; and nobody listens on port 9."""
    command = [str(Path(sys.executable).with_name("tfx")), "pipeline", "list", "--engine=kubeflow"]
    ended = subprocess.run([*command, "--endpoint=http://127.0.0.1:9"], capture_output=True, text=True, cwd="/")
    assert ended.returncode == 1
    assert "Error: Kubeflow Pipelines does not answer; check the endpoint" in ended.stderr
