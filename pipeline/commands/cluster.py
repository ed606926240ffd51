"""`compile`: to a cluster."""

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
    """Compile a pipeline, or a batch inference, for a cluster that the configuration's section `kubeflow` describes.

    FILE is YAML for Kubeflow Pipelines, which its page "Upload pipeline" and its SDK take, or JSON for Vertex AI.
    """
    from pipeline.config import load_any_config
    from pipeline.kubeflow.check import check

    settings = load_any_config(config, overrides)
    check(settings, engine)
    from pipeline.deferred import defer_everything

    with working("loading TFX"):
        defer_everything()
        from pipeline.kubeflow.compile import compile_pipeline

        compile_pipeline(settings, output, engine)
    click.echo(f"Wrote {output}")


@click.group(short_help="Run a pipeline on Kubeflow again and again.")
def schedule() -> None:
    """Run a pipeline on Kubeflow again and again.

    The pipeline is the one that `tfx pipeline create --engine=kubeflow` uploaded from the same CONFIG.
    """


@schedule.command(name="set", short_help="Start a run at certain times.")
@CONFIG
@OVERRIDES
@click.option(
    "--cron", metavar="FIELDS", help='Six fields that begin with the second: "0 30 4 * * *" is daily at 4:30.'
)
@click.option("--every", metavar="TIME", help="From one start to the next: 90m, 6h or 1d.")
@click.option("--parameter", "parameters", metavar="NAME=VALUE", multiple=True, help="A run parameter; may repeat.")
def schedule_set(
    config: Path, overrides: tuple[str, ...], cron: str | None, every: str | None, parameters: tuple[str, ...]
) -> None:
    """Start runs of the newest version of a pipeline at certain times, in place of its schedule until now."""
    from pipeline.config import load_config

    if (cron is None) == (every is None):
        raise click.UsageError("give either --cron or --every")
    if cron and len(cron.split()) != 6:
        raise click.UsageError(f"--cron {cron!r}: give six fields, the first of which are seconds")
    if unclear := [one for one in parameters if "=" not in one]:
        raise click.UsageError(f"--parameter {unclear[0]}: give NAME=VALUE")
    seconds = duration_seconds(every) if every else None
    settings = load_config(config, overrides)
    from pipeline.kubeflow import schedule as kubeflow
    from pipeline.kubeflow.client import told

    with told():
        kubeflow.schedule(
            kubeflow.connect(settings), settings, cron=cron, seconds=seconds,
            parameters=dict(one.split("=", 1) for one in parameters),
        )  # fmt: skip
    click.echo(f"{settings.name} runs {f'by {cron!r}' if cron else f'every {every}'} on {settings.kubeflow.endpoint}")


@schedule.command(name="show", short_help="Print the schedule.")
@CONFIG
@OVERRIDES
def schedule_show(config: Path, overrides: tuple[str, ...]) -> None:
    """Print when a pipeline runs."""
    from pipeline.config import load_config

    settings = load_config(config, overrides)
    from pipeline.kubeflow import schedule as kubeflow
    from pipeline.kubeflow.client import told

    with told():
        found = kubeflow.schedules(kubeflow.connect(settings), settings)
    for one in found:
        cron, periodic = one.trigger.cron_schedule, one.trigger.periodic_schedule
        when = f"by {cron.cron!r}" if cron else f"every {int(periodic.interval_second)} s"
        given = (one.runtime_config.parameters if one.runtime_config else None) or {}
        with_what = "".join(f", {name}={value}" for name, value in sorted(given.items()))
        click.echo(f"{one.display_name} runs {when}{with_what} ({str(one.status).lower()})")
    if not found:
        click.echo(f"{settings.name} has no schedule")


@schedule.command(name="delete", short_help="Stop starting runs.")
@CONFIG
@OVERRIDES
def schedule_delete(config: Path, overrides: tuple[str, ...]) -> None:
    """Stop starting runs of a pipeline; those under way go on."""
    from pipeline.config import load_config

    settings = load_config(config, overrides)
    from pipeline.kubeflow import schedule as kubeflow
    from pipeline.kubeflow.client import told

    with told():
        count = kubeflow.unschedule(kubeflow.connect(settings), settings)
    click.echo(f"{settings.name} runs by schedule no more" if count else f"{settings.name} has no schedule")


@schedule.command(name="new-span", short_help="Start a run if there is a new span of data.")
@CONFIG
@OVERRIDES
def schedule_new_span(config: Path, overrides: tuple[str, ...]) -> None:
    """Start a run if the newest span under data.path has had none.

    It has to see the images; kfp/cluster/new-span.yaml calls it every ten minutes in the cluster.
    """
    from pipeline.config import load_config

    settings = load_config(config, overrides)
    from pipeline.kubeflow import schedule as kubeflow
    from pipeline.kubeflow.client import told

    with told():
        run = kubeflow.run_new_span(kubeflow.connect(settings), settings)
    click.echo(f"Started {run.display_name}" if run else "The newest span has had its run")


def duration_seconds(text: str) -> int:
    """90m, 6h or 1d in seconds.

    Raises:
      UsageError: it is none of those.
    """
    units = {"m": 60, "h": 3600, "d": 86400}
    if text[-1:] not in units or not text[:-1].isdigit() or int(text[:-1]) == 0:
        raise click.UsageError(f"--every {text}: give a number and m, h or d, such as 6h")
    return int(text[:-1]) * units[text[-1]]
