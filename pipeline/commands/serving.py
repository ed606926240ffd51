"""`serve` and `predict`."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands.terminal import ToldError, progress_bar, working

if TYPE_CHECKING:
    from serving.config import ServingConfig


@click.command(short_help="Answer requests with the newest model of a run.")
@click.argument("run", metavar="RUN_OR_DIR")
@click.option(
    "--rest-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port of the REST API [8501]; 0 takes a free one.",
)
@click.option(
    "--grpc-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Port of the gRPC API [8500]; 0 takes a free one.",
)
@click.option("--host", metavar="ADDRESS", help="Address to listen on [127.0.0.1]; 0.0.0.0 is every interface.")
@click.option("--name", help="The model's name in requests [the pipeline's].")
def serve(run: str, rest_port: int | None, grpc_port: int | None, host: str | None, name: str | None) -> None:
    """Answer requests with the newest model of a run, until interrupted.

    RUN_OR_DIR is the folder of a run (runs/NAME), a configuration, a folder that models were pushed to, or a
    SavedModel. TensorFlow Serving is used where it is installed, and a development server with the same API elsewhere.
    """
    destination, settings, model_name = served(run)
    changes: dict[str, Any] = {"rest_port": rest_port, "grpc_port": grpc_port, "host": host, "model_name": name}
    import dataclasses

    from serving.server import serve

    settings = dataclasses.replace(settings, **{key: value for key, value in changes.items() if value is not None})
    serve(destination, settings, model_name=model_name)


def served(run: str) -> tuple[str, "ServingConfig", str]:
    """What a command on served models is about.

    Args:
      run: a configuration file, the folder of a run, a SavedModel, or where models are pushed to: a folder, s3://…
        or gs://….

    Returns:
      Where the model or its versions are, the settings, and the model's name.

    Raises:
      ConfigError: the configuration cannot be used.
      ToldError: there is no such file or folder, or the run has pushed no model.
    """
    from serving.config import ServingConfig

    if "://" in run:
        return run, ServingConfig(), run.rstrip("/").rsplit("/", 1)[-1]
    path = Path(run)
    if path.is_file():
        from pipeline.config import load_config

        config = load_config(path)
        return config.destination, config.serving, config.serving.model_name or config.name
    if not path.is_dir():
        raise ToldError(f"There is no {run}; give the folder of a run (such as runs/NAME), a configuration or a model")
    if (path / "serving").is_dir():
        return str(path / "serving"), ServingConfig(), path.absolute().name
    if (path / "metadata.db").exists():
        raise ToldError(
            f"{run} has pushed no model yet: run its pipeline until the model is blessed "
            "(or give its configuration, if that has a pusher.destination)"
        )
    named = path.absolute()
    while named.name.isdigit() or named.name == "serving":
        named = named.parent
    return run, ServingConfig(), named.name or "model"


@click.command(short_help="Say what is in images, or in a folder of them.")
@click.argument("images", metavar="IMAGE...|DIR", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--url",
    default="http://127.0.0.1:8501",
    show_default=True,
    help="Address of the server; grpc://HOST:PORT asks over gRPC.",
)
@click.option("--model", help="The model's name [the one of the runs in runs/ that the server knows].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: all probabilities of every image.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="CSV file for the images of DIR.")
@click.option(
    "--from",
    "run",
    metavar="RUN_OR_DIR",
    help="With --output: whose model answers, as in `serve` [the only run in runs/].",
)
@click.option("--probabilities", is_flag=True, help="With --output: a column for each class.")
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    metavar="N",
    help="With --output: processes; each takes some 20 s to start.",
)
def predict(
    images: tuple[Path, ...],
    url: str,
    model: str | None,
    as_json: bool,
    output: Path | None,
    run: str | None,
    probabilities: bool,
    workers: int,
) -> None:
    """Say what is in images.

    IMAGE... asks a server. DIR with --output needs none: the images in DIR and its folders go through the model in
    this process, or in --workers of them, and the answers to a CSV file.
    """
    if output:
        if len(images) != 1 or not images[0].is_dir():
            raise ToldError("--output is for the images of a folder; give one DIR")
        predict_table(images[0], output, run or only_run(Path("runs")), probabilities, workers)
        return
    if directory := next((image for image in images if image.is_dir()), None):
        raise ToldError(f"{directory} is a folder; give --output FILE.csv to predict all its images")
    from serving import client

    model = model or served_model(url, Path("runs"))
    predictions = client.predict(images, url, model_name=model)
    if as_json:
        import json

        rows = [
            {
                "image": str(image),
                "label": one.label,
                "probability": one.probability,
                "probabilities": one.probabilities,
                "status": one.status,
                "version": one.version,
            }
            for image, one in zip(images, predictions, strict=True)
        ]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        wide, label = max(len(str(image)) for image in images), max(len(one.label) for one in predictions)
        for image, one in zip(images, predictions, strict=True):
            seen = f"{click.style(f'{one.label:<{label}}', bold=True)}  {one.probability:6.1%}"
            click.echo(f"{image!s:<{wide}}  {click.style(one.status, fg='red') if one.status else seen}")
    if unusable := sum(bool(one.status) for one in predictions):
        raise ToldError(f"The model cannot use {unusable} of {len(predictions)} images; why is said beside each")


def predict_table(images: Path, output: Path, run: str, probabilities: bool, workers: int) -> None:
    """Predicts a folder of images into a CSV file."""
    import os
    import tempfile

    from pipeline.config import BeamConfig
    from serving import versions

    destination, _, _ = served(run)
    with contextlib.ExitStack() as stack:
        folder = Path(destination)
        if not (folder / "saved_model.pb").is_file():
            version = versions.served_version(destination)
            if version is None:
                raise ToldError(f"No model version is in {destination}; run its pipeline until a model is blessed")
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="tfx-vision-predict-"))
            folder = versions.fetch_version(destination, version, scratch)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with working("loading TensorFlow"):
            from components.batch_prediction.table import predict_folder
        how = BeamConfig(runner="multi_processing" if workers > 1 else "in_memory", workers=workers)
        with progress_bar(f"{images} to {output}") as advance:
            count, unread = predict_folder(
                str(folder), str(images), output, how.arguments, probabilities=probabilities, advance=advance
            )
    click.echo(f"{output} has the predictions of {count:,} images")
    if unread:
        raise ToldError(f"The model could not read {unread:,} of them; why is said in the column `status`")


def only_run(runs: Path) -> str:
    """The only run with a model below a folder.

    Raises:
      ToldError: there is none, or more than one.
    """
    found = sorted(folder.parent for folder in runs.glob("*/serving"))
    if len(found) == 1:
        return str(found[0])
    many = f"there are {', '.join(map(str, found))}" if found else f"there is none in {runs}/"
    raise ToldError(f"Whose model? Give a run with --from; {many}")


def served_model(url: str, runs: Path) -> str:
    """The name of the run below `runs` whose model the server has; with a single run it is not asked.

    Raises:
      ToldError: there is none, or more than one; says to give --model.
    """
    names = sorted(folder.parent.name for folder in runs.glob("*/serving"))
    known = names if len(names) == 1 else [name for name in names if answers(f"{url.rstrip('/')}/v1/models/{name}")]
    if len(known) == 1:
        return known[0]
    if known:
        raise ToldError(f"{url} serves {' and '.join(known)}; choose one with --model")
    tried = f" ({', '.join(names)} of {runs}/ it does not serve, or it does not answer)" if names else ""
    raise ToldError(f"Which model of {url}? Give its name with --model{tried}")


def answers(url: str) -> bool:
    """Whether a GET succeeds."""
    import http.client
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (OSError, ValueError, http.client.HTTPException):
        return False
