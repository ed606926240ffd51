"""`tfx pipeline …` and `tfx run …` with --engine=kubeflow, over the KFP v2 SDK.

TFX 1.21's own handler imports `tfx.orchestration.kubeflow.kubeflow_dag_runner`, which that release removed, so every
such command dies. This module stands in for the handler: the `tfx` script of this project puts it in the handler's
place and then is TFX's script. Delete it, and the line `tfx = …` in pyproject.toml, when TFX's own works again.
"""

import os
import sys
import tempfile
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import click
import kfp
from tfx.orchestration.pipeline import Pipeline
from tfx.tools.cli import labels
from tfx.tools.cli.cli_context import Context
from tfx.tools.cli.handler import base_handler, dag_runner_patcher

from pipeline.config import ConfigError
from pipeline.kubeflow import client as kubeflow

HANDLER = "tfx.tools.cli.handler.kubeflow_handler"


def main() -> None:
    """The `tfx` command."""
    sys.modules[HANDLER] = sys.modules[__name__]
    # The command runs `pip freeze`; this environment's, also when it is not activated.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    from tfx.tools.cli.cli_main import cli_group

    add_endpoint(cli_group)
    try:
        with kubeflow.told():
            cli_group()
    except (ConfigError, kubeflow.KubeflowError) as error:
        sys.exit(f"Error: {error}")


def add_endpoint(group: Any) -> None:
    """Gives `tfx pipeline schema` the options by which the other commands find a cluster; TFX's has none."""
    commands = group.commands["pipeline"].commands
    schema, names = commands["schema"], (labels.ENDPOINT, labels.IAP_CLIENT_ID, labels.NAMESPACE)
    get_schema = schema.callback

    def callback(**options: Any) -> None:
        cluster = {name: options.pop(name) for name in names}
        click.get_current_context().ensure_object(Context).flags_dict.update(cluster)
        get_schema(**options)

    schema.callback = callback
    schema.params += [option for option in commands["list"].params if option.name in names]


class KubeflowPatcher(dag_runner_patcher.DagRunnerPatcher):
    """Has the runner in the user's file compile to a file of ours."""

    def __init__(self, output: Path | None = None):
        super().__init__()
        self.output = output

    def get_runner_class(self) -> type:
        from pipeline.kubeflow.compile import KubeflowRunner

        return KubeflowRunner

    def _before_run(self, runner: Any, pipeline: Pipeline, context: MutableMapping[str, Any]) -> None:
        runner.output = self.output = self.output or runner.output


class KubeflowHandler(base_handler.BaseHandler):
    """One method for each command, as TFX's command line calls them."""

    def __init__(self, flags_dict: dict[str, Any]):
        super().__init__(flags_dict)
        self._name: str = flags_dict.get(labels.PIPELINE_NAME, "")

    @property
    def _client(self) -> kfp.Client:
        if "client" not in self.__dict__:
            self.__dict__["client"] = kfp.Client(
                host=self.flags_dict[labels.ENDPOINT],
                client_id=self.flags_dict[labels.IAP_CLIENT_ID],
                namespace=self.flags_dict[labels.NAMESPACE],
            )
        return self.__dict__["client"]

    def create_pipeline(self) -> None:
        """Compiles the pipeline and uploads it."""
        if self.flags_dict.get(labels.BUILD_IMAGE):
            sys.exit("Error: --build-image is not supported; build and push the image first (make image)")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pipeline.yaml"
            name = self.execute_dsl(KubeflowPatcher(file))[KubeflowPatcher.PIPELINE_NAME]
            if known := self._client.get_pipeline_id(name):
                sys.exit(f"Error: there is a pipeline {name} already ({known}); use `tfx pipeline update`")
            pipeline = self._client.upload_pipeline(str(file), pipeline_name=name)
            self._client.create_experiment(name)
        click.echo(f'Pipeline "{name}" created: {self._link("pipelines", pipeline.pipeline_id)}')

    def update_pipeline(self) -> None:
        """Compiles the pipeline and uploads it as a new version."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pipeline.yaml"
            self._name = self.execute_dsl(KubeflowPatcher(file))[KubeflowPatcher.PIPELINE_NAME]
            version = f"{self._name}-{time.strftime('%Y%m%d%H%M%S')}"
            pipeline_id = self._pipeline_id()
            self._client.upload_pipeline_version(str(file), version, pipeline_id=pipeline_id)
        click.echo(f'Pipeline "{self._name}" updated, version {version}: {self._link("pipelines", pipeline_id)}')

    def list_pipelines(self) -> None:
        """Prints all pipelines."""
        rows = [
            [pipeline.display_name, pipeline.pipeline_id, pipeline.created_at.isoformat()]
            for pipeline in kubeflow.every(self._client.list_pipelines, "pipelines")
        ]
        if rows:
            click.echo(self._format_table(["pipeline_name", "pipeline_id", "created_at"], rows))
        else:
            click.echo("No pipelines to display.")

    def delete_pipeline(self) -> None:
        """Deletes a pipeline and its versions; its runs stay."""
        pipeline_id = self._pipeline_id()
        versions = kubeflow.every(self._client.list_pipeline_versions, "pipeline_versions", pipeline_id=pipeline_id)
        for version in versions:
            self._client.delete_pipeline_version(pipeline_id, version.pipeline_version_id)
        self._client.delete_pipeline(pipeline_id)
        click.echo(f'Pipeline "{self._name}" deleted.')

    def compile_pipeline(self) -> None:
        """Writes the compiled pipeline beside the user."""
        patcher = KubeflowPatcher()
        self.execute_dsl(patcher)
        click.echo(f"Pipeline compiled: {patcher.output}")

    def get_schema(self) -> None:
        """Prints the schema that the pipeline's runs proposed last."""
        from pipeline.kubeflow.schema import newest_schema

        found = newest_schema(self._client, self._name)
        since = f"; {found.newer} newer took theirs from the cache or have not come to it" if found.newer else ""
        click.echo(f"Schema of run {found.run}{since}: {found.uri}")
        click.echo(found.text)

    def create_run(self) -> None:
        """Starts the newest version of a pipeline."""
        pipeline_id = self._pipeline_id()
        version = kubeflow.newest_version(self._client, pipeline_id)
        run = self._client.run_pipeline(
            experiment_id=self._experiment_id(),
            job_name=f"{self._name}-{time.strftime('%Y%m%d%H%M%S')}",
            params=kubeflow.typed(self.flags_dict[labels.RUNTIME_PARAMETER], version.pipeline_spec),
            pipeline_id=pipeline_id,
            version_id=version.pipeline_version_id,
        )
        click.echo(f"Run created for pipeline: {self._name}")
        self._print_runs([run])

    def list_runs(self) -> None:
        """Prints the runs of a pipeline."""
        self._pipeline_id()
        runs = kubeflow.every(self._client.list_runs, "runs", experiment_id=self._experiment_id())
        if runs:
            self._print_runs(runs)
        else:
            click.echo("No runs found.")

    def get_run(self) -> None:
        """Prints the state of a run."""
        self._print_runs([self._client.get_run(self.flags_dict[labels.RUN_ID])])

    def terminate_run(self) -> None:
        """Stops a run."""
        self._client.terminate_run(self.flags_dict[labels.RUN_ID])
        click.echo("Run terminated.")

    def delete_run(self) -> None:
        """Deletes a run."""
        self._client.delete_run(self.flags_dict[labels.RUN_ID])
        click.echo("Run deleted.")

    def _pipeline_id(self) -> str:
        return kubeflow.pipeline_id(self._client, self._name)

    def _experiment_id(self) -> str:
        return kubeflow.experiment_id(self._client, self._name)

    def _link(self, kind: str, identity: str) -> str:
        return f"{self.flags_dict[labels.ENDPOINT]}/#/{kind}/details/{identity}"

    def _print_runs(self, runs: list[Any]) -> None:
        rows = [
            [self._name, run.run_id, str(run.state), run.created_at.isoformat(), self._link("runs", run.run_id)]
            for run in runs
        ]
        click.echo(self._format_table(["pipeline_name", "run_id", "status", "created_at", "link"], rows))


if __name__ == "__main__":
    main()
