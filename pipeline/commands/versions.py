"""`versions`, `rollback` and `promote`: what was pushed, and which of it users get."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.serving import served
from pipeline.commands.terminal import ToldError

if TYPE_CHECKING:
    from serving.versions import Version

RUN = click.argument("run", metavar="RUN")
WHY = click.option("--why", default="", metavar="SENTENCE", help="Why; is kept with the version.")


@click.command(short_help="List what was pushed: when, by whom, why and how good.")
@RUN
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every file's checksum.")
def versions(run: str, as_json: bool) -> None:
    """List the versions that a run pushed, the newest first.

    RUN is the folder of a run (runs/NAME), a configuration, or the place models are pushed to (a folder, s3:// or gs://).
    """
    from serving.versions import history

    found = history(served(run)[0])
    if as_json:
        import dataclasses
        import json

        click.echo(json.dumps([dataclasses.asdict(version) for version in found], indent=2, ensure_ascii=False))
        return
    if not found:
        raise ToldError(f"No version is at {served(run)[0]}; run the pipeline until it pushes a blessed model")
    for version in found:
        click.echo(f"{click.style(f'{version.number:>4}', bold=True)}  {state(version):<9}  {pushed(version)}")
        for remark in remarks(version):
            click.echo(f"{'':17}{remark}")


def state(version: "Version") -> str:
    """`stable`, `canary`, `withdrawn` or nothing."""
    return version.label or ("withdrawn" if version.withdrawal else "")


def pushed(version: "Version") -> str:
    """When and by whom a version was pushed, and how good it is."""
    manifest = version.manifest
    if manifest is None:
        return "came without a manifest"
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in manifest.metrics.items())
    return "  ".join(filter(None, [minute(manifest.pushed_at), manifest.by, metrics]))


def remarks(version: "Version") -> list[str]:
    """Why a version was pushed, and why it was withdrawn."""
    found = []
    if version.manifest and version.manifest.why:
        found.append(version.manifest.why)
    if version.manifest and version.manifest.champion:
        found.append(f"judged against version {version.manifest.champion}")
    if withdrawal := version.withdrawal:
        why = f": {withdrawal.why}" if withdrawal.why else ""
        found.append(f"withdrawn {minute(withdrawal.at)} by {withdrawal.by}, for version {withdrawal.instead}{why}")
    return found


def minute(moment: str) -> str:
    """2026-11-24 14:22 UTC."""
    return f"{moment[:16].replace('T', ' ')} UTC"


@click.command(short_help="Take the newest push back, or go to another version.")
@RUN
@click.argument("version", type=click.IntRange(min=0), required=False)
@WHY
def rollback(run: str, version: int | None, why: str) -> None:
    """Make an older version, or a withdrawn one, what users get, and withdraw the versions above it.

    Without VERSION the newest push is taken back. Servers follow within seconds. The next model is judged against
    this version; withdrawn ones stay withdrawn until a rollback to them brings them back.
    """
    from serving.versions import rollback as go_back

    destination = served(run)[0]
    click.echo(f"Version {go_back(destination, version, why=why)} is stable.")
    tell_cluster(run, destination)


@click.command(short_help="Make the canary what users get.")
@RUN
def promote(run: str) -> None:
    """Make the canary stable."""
    from serving.versions import promote as make_stable

    destination = served(run)[0]
    click.echo(f"Version {make_stable(destination)} is stable.")
    tell_cluster(run, destination)


def tell_cluster(run: str, destination: str) -> None:
    """Says what servers on a cluster do not find out by themselves; nothing where there are none.

    Args:
      run: what the person gave: a configuration, or anything else that names the destination.
      destination: where the models are.
    """
    from serving.versions import labels

    if not on_cluster(run, destination):
        return
    config = shlex.quote(run) if Path(run).is_file() else "CONFIG"
    if destination.startswith("s3://"):
        name = served(run)[2].replace("_", "-")
        click.echo(f"KServe copies models when a server starts:\n  kubectl rollout restart deployment/{name}-predictor")
        return
    given = "".join(f" --label {label}={number}" for label, number in labels(destination).items())
    click.echo(
        "TensorFlow Serving on a cluster follows by itself, unless it was given labels; then give it the new ones:\n"
        f"  tfx-vision serving manifests {config} -o kfp/serving{given}\n"
        "  kubectl apply -f kfp/serving"
    )


def on_cluster(run: str, destination: str) -> bool:
    """Whether servers on a cluster can read the destination: an object store, or one of the cluster's volumes."""
    if "://" in destination or not Path(run).is_file():
        return "://" in destination
    from pipeline.commands.manifests import models_volume
    from pipeline.config import load_config

    config = load_config(Path(run))
    try:
        return bool(config.pusher.destination) and models_volume(config)[1] is not None
    except ToldError:
        return False
