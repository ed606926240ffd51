"""`serving manifests`: TensorFlow Serving on Kubernetes, from a pipeline's configuration."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.terminal import CONFIG, OVERRIDES, ToldError

if TYPE_CHECKING:
    from pipeline.config import PipelineConfig
    from serving.manifests import Claim

MODELS = "/mnt/models"
"""Where the volume with the models is mounted, unless the configuration says so."""


@click.group("serving")
def serving_group() -> None:
    """TensorFlow Serving on Kubernetes."""


@serving_group.command(short_help="Write the manifests of TensorFlow Serving on Kubernetes.")
@CONFIG
@click.option(
    "-o", "--output", metavar="DIR", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder."
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VERSION",
    help="Serve this version under a label, such as stable=5; may be repeated. Without, the highest is served.",
)
@OVERRIDES
def manifests(config: Path, output: Path, labels: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Write the manifests of TensorFlow Serving for a pipeline's model.

    `kubectl apply -f DIR` takes them. DIR/kserve has an InferenceService, which with DIR/config.yaml takes the place of
    the others.
    """
    from pipeline.config import load_config
    from serving.manifests import build

    settings = load_config(config, overrides)
    destination, claim = models_volume(settings)
    files = build(
        settings.serving.model_name or settings.name,
        destination,
        settings.kubeflow.namespace,
        claim,
        settings.serving,
        dict(map(read_label, labels)),
    )
    for name, manifest in files.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text(
            "# Written by `tfx-vision serving manifests`.\n" + to_yaml(manifest), encoding="utf-8"
        )
        click.echo(f"Wrote {output / name}")
    if destination.startswith("s3://"):
        click.echo("TensorFlow Serving itself reads no s3:// (since 2.7), so there is only KServe's InferenceService.")


def models_volume(config: "PipelineConfig") -> tuple[str, "Claim | None"]:
    """Where TensorFlow Serving finds the models on the cluster, and the volume that is, if it is one.

    Raises:
      ToldError: the destination is a folder of this machine.
    """
    from serving.manifests import Claim

    destination = config.pusher.destination or f"{MODELS}/{config.name}"
    if "://" in destination:
        return destination.rstrip("/"), None
    for volume in config.kubeflow.volumes:
        if PurePosixPath(destination).is_relative_to(volume.path):
            return destination, Claim(name=volume.claim, path=volume.path, sub_path=volume.sub_path)
    if PurePosixPath(destination).is_relative_to(MODELS):
        return destination, Claim(name="models", path=MODELS)
    raise ToldError(
        f"pusher.destination: {destination} is on none of kubeflow.volumes, so a server on the cluster would not find "
        f"it; mount a volume there, or push below {MODELS}, to gs:// or to s3://"
    )


def read_label(text: str) -> tuple[str, int]:
    """NAME=VERSION as a pair.

    Raises:
      ToldError: it is something else.
    """
    name, _, version = text.partition("=")
    if not name or not version.isdigit():
        raise ToldError(f"--label {text}: write NAME=VERSION, such as stable=5")
    return name, int(version)


def to_yaml(manifest: dict[str, Any]) -> str:
    """YAML for people: several lines of text as such, and no anchors where an object is used twice."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)

    Dumper.add_representer(str, write_text)
    return yaml.dump(manifest, Dumper=Dumper, sort_keys=False, width=120)
