"""`compile`: to a cluster."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.terminal import CONFIG, OVERRIDES, working

if TYPE_CHECKING:
    from pipeline.kubeflow.check import Engine


@click.command(name="compile", short_help="Compile a pipeline for Kubeflow.")
@CONFIG
@OVERRIDES
@click.option("-o", "--output", metavar="FILE", required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--engine", type=click.Choice(["kubeflow", "vertex"]), default="kubeflow", show_default=True)
def compile_command(config: Path, overrides: tuple[str, ...], output: Path, engine: "Engine") -> None:
    """Compile a pipeline for a cluster; the section `kubeflow` of the configuration describes it.

    FILE is YAML for Kubeflow Pipelines, which its page "Upload pipeline" and its SDK take, or JSON for Vertex AI.
    """
    from pipeline.capture import output_to
    from pipeline.config import load_config
    from pipeline.kubeflow.check import check

    settings = load_config(config, overrides)
    check(settings, engine)
    from pipeline.kubeflow.deferred import defer_everything

    with working("loading TFX"), output_to(Path(os.devnull)):
        defer_everything()
        from pipeline.kubeflow.compile import compile_pipeline

        compile_pipeline(settings, output, engine)
    click.echo(f"Wrote {output}")
