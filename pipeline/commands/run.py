"""`run`, `infer`, and what comes before and after them: `init`, `report`, `doctor`."""

import sys
from pathlib import Path

import click

from pipeline.commands.terminal import CONFIG, OVERRIDES, ToldError, working


@click.command()
@CONFIG
@OVERRIDES
@click.option("--verbose", is_flag=True, help="Show the libraries' logs instead of sending them to a file.")
def run(config: Path, overrides: tuple[str, ...], verbose: bool) -> None:
    """Run a pipeline; steps that did not change are cached.

    Exit status: 0 the model is blessed, 3 it missed a threshold, 1 a step failed, 2 the configuration is wrong.
    """
    from pipeline.config import load_config

    settings = load_config(config, overrides)
    from pipeline.local_runner import run

    sys.exit(run(settings, verbose=verbose))


@click.command(short_help="Run a batch inference: the served model over a folder of images.")
@CONFIG
@OVERRIDES
@click.option("--verbose", is_flag=True, help="Show the libraries' logs instead of sending them to a file.")
def infer(config: Path, overrides: tuple[str, ...], verbose: bool) -> None:
    """Run a batch inference: the served model over a folder of images.

    The answers are PredictionLogs in TFRecords, with their lineage in the metadata; for a table without lineage there
    is `tfx-vision predict DIR --output FILE`. Exit status: 0 done, 1 a step failed, 2 the configuration is wrong.
    """
    from pipeline.config import load_inference_config

    settings = load_inference_config(config, overrides)
    from pipeline.local_runner import infer

    sys.exit(infer(settings, verbose=verbose))


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Where to write it.")
@click.option("--force", is_flag=True, help="Replace the file when it is there.")
def init(directory: Path, output: Path | None, force: bool) -> None:
    """Write a starting configuration for the images in DIR.

    DIR holds one sub-folder per class, or `train` and `test` folders of that kind. The configuration goes to
    configs/NAME.yaml (NAME.yaml where there is no configs folder) unless -o says otherwise.
    """
    with working(f"looking at {directory}"):
        from pipeline.starter import write_configuration

        file, text = write_configuration(directory, output, force=force)
    click.echo("\n".join(line[2:] for line in text.splitlines() if line.startswith("#")))
    click.echo(f"\nWrote {file}")


@click.command(short_help="Print where the report of a run is.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--open", "show_it", is_flag=True, help="Open it in the browser.")
def report(run: Path, show_it: bool) -> None:
    """Print where the report of a run is; RUN is its folder (runs/NAME) or its configuration."""
    folder = run
    if run.is_file():
        from pipeline.config import load_config

        folder = load_config(run).folder
    file = folder / "report.html"
    if not file.is_file():
        raise ToldError(f"There is no {file}; it is written when a run of the pipeline ends")
    click.echo(str(file))
    if show_it:
        click.launch(str(file.absolute()))


@click.command(short_help="Say what this machine has and lacks.")
def doctor() -> None:
    """Say what this machine has for the pipeline, and what each missing thing costs."""
    from pipeline.doctor import examine, show

    findings = examine()
    show(findings)
    sys.exit(any(finding.needed and finding.cost for finding in findings))
