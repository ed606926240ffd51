"""`versions`, `rollback` and `promote`: what was pushed, and which of it users get."""

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

    click.echo(f"Version {go_back(served(run)[0], version, why=why)} is stable.")


@click.command(short_help="Make the canary what users get.")
@RUN
def promote(run: str) -> None:
    """Make the canary stable."""
    from serving.versions import promote as make_stable

    click.echo(f"Version {make_stable(served(run)[0])} is stable.")
