"""The `tfx` command with the local engine, on the same graph."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from serving import versions
from transform.config import to_json

RUNNER = Path(__file__).parents[2] / "pipeline" / "local_runner.py"


@pytest.fixture
def tfx(digits_run, tmp_path, monkeypatch) -> Callable[..., str]:
    """Invokes `tfx ... --engine=local` in this process with a home of its own."""
    from tfx.tools.cli.cli_main import cli_group

    config = tmp_path / "digits.yaml"
    config.write_text(yaml.safe_dump(to_json(digits_run.config)))
    monkeypatch.setenv("TFX_VISION_CONFIG", str(config))
    monkeypatch.setenv("HOME", str(tmp_path))

    def invoke(*words: str) -> str:
        result = CliRunner().invoke(cli_group, [*words, "--engine=local"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return invoke


def test_pipeline_create_list_run_update_delete(tfx, digits_run):
    before = versions.versions(digits_run.config.destination)
    assert 'Pipeline "digits" created successfully' in tfx("pipeline", "create", f"--pipeline_path={RUNNER}")
    assert "digits" in tfx("pipeline", "list").splitlines()
    tfx("run", "create", "--pipeline_name=digits")
    assert versions.versions(digits_run.config.destination) == before, "every component was cached"
    assert "updated successfully" in tfx("pipeline", "update", f"--pipeline_path={RUNNER}")
    assert "deleted successfully" in tfx("pipeline", "delete", "--pipeline_name=digits")
    assert "digits" not in tfx("pipeline", "list").splitlines()
