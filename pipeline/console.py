"""The `tfx-vision` command. Each sub-command imports what it needs when it runs, so that `--help` answers at once."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipeline.datasets import Progress
    from pipeline.kubeflow.check import Engine
    from serving.config import ServingConfig

OWN_PACKAGES = ("pipeline", "components", "trainer_module", "serving", "transform")
INTERRUPTED = 130

CONFIG = click.argument("config", type=click.Path(dir_okay=False, path_type=Path))
OVERRIDES = click.option(
    "--set", "overrides", multiple=True, metavar="KEY.PATH=VALUE", help="Replace a setting; may be repeated."
)


class ToldError(click.ClickException):
    """An error of this project: its message is a sentence for the user, printed without a traceback."""


class ConfigurationToldError(ToldError):
    """A configuration that cannot be used."""

    exit_code = 2


class Commands(click.Group):
    """Sub-commands in the order they are defined, whose errors end as sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("\nInterrupted; the same command continues where it can.", err=True)
            ctx.exit(INTERRUPTED)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise ToldError(f"{where}{error.strerror or error}") from error
        except Exception as error:
            # Every exception class this project defines carries a message for the user; others are bugs.
            if type(error).__module__.split(".")[0] not in OWN_PACKAGES:
                raise
            told = ConfigurationToldError if type(error).__name__ == "ConfigError" else ToldError
            raise told(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tfx-vision", message="%(prog)s %(version)s")
def main() -> None:
    """From a folder of labelled images to a blessed model behind a TensorFlow Serving endpoint.

    \b
    First steps with your own images, one sub-folder per class:
      tfx-vision init my-images       writes configs/my-images.yaml
      tfx-vision run configs/my-images.yaml
      tfx-vision serve runs/my-images
      tfx-vision predict a.jpg b.jpg
    """


@main.command()
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


@main.command()
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


@main.group(name="config")
def config_group() -> None:
    """Look at configurations."""


@config_group.command()
@CONFIG
@OVERRIDES
def show(config: Path, overrides: tuple[str, ...]) -> None:
    """Print a configuration with every default, as YAML.

    What differs from its default is followed by that default.
    """
    from pipeline.config import load_config

    styles = {"comment": {"dim": True}, "changed": {"bold": True}, "default": {}}
    for kind, line in document(load_config(config, overrides)):
        click.echo(click.style(line, **styles[kind]))


def document(
    settings: Any, standard: Any = None, indent: str = "", said: set[str] | None = None
) -> Iterator[tuple[str, str]]:
    """Settings as lines of YAML.

    Args:
      settings: an instance of a settings class.
      standard: what it is by default; None where it must be given.
      indent: of its lines.
      said: descriptions that were given already; sections of the same kind do not repeat them.

    Yields:
      A kind (comment, default or changed) and a line.
    """
    import dataclasses

    from transform.config import to_json

    said = set() if said is None else said
    for name, field in type(settings).__pydantic_fields__.items():
        value = getattr(settings, name)
        required = standard is None and field.is_required()
        default = getattr(standard, name) if standard else field.get_default(call_default_factory=True)
        if (sentence := f"{name}: {description(type(settings), name)}") not in said:
            said.add(sentence)
            yield "comment", f"{indent}# {description(type(settings), name)}"
        if dataclasses.is_dataclass(value):
            yield "default", f"{indent}{name}:"
            yield from document(value, None if required else default, f"{indent}  ", said)
            continue
        line = f"{indent}{name}: {yaml_value(to_json(value))}"
        if required or value == default:
            yield "changed" if required else "default", line
        else:
            yield "changed", f"{line}  # default: {yaml_value(to_json(default))}"


def description(cls: type, name: str) -> str:
    """The string under a setting, in its class or, for one that it inherits, in the class that has it."""
    fields = (getattr(base, "__pydantic_fields__", {}).get(name) for base in cls.__mro__)
    return " ".join(next((field.description for field in fields if field and field.description), "").split())


def yaml_value(value: Any) -> str:
    """A value on one line of YAML."""
    import yaml

    text = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


@main.group()
def data() -> None:
    """Get public image sets."""


@data.command()
@click.argument("dataset", type=click.Choice(["fashion-mnist", "digits"]))
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def fetch(dataset: str, directory: Path) -> None:
    """Write a public image set to DIR, one folder per class; an interrupted fetch continues.

    \b
    fashion-mnist  70,000 pictures of clothes, 10 classes, 28 x 28, grey; from the Debian package, 31 MB
    digits         1,797 handwritten digits, 10 classes, 8 x 8, grey; comes with scikit-learn
    """
    from pipeline import datasets

    if datasets.is_complete(dataset, directory):
        click.echo(f"{directory} already holds {dataset}")
        return
    with progress_bar(f"{dataset} to {directory}") as advance:
        {"fashion-mnist": datasets.fetch_fashion_mnist, "digits": datasets.fetch_digits}[dataset](directory, advance)
    click.echo(f"{directory} holds {dataset}")


@main.command(short_help="Answer requests with the newest model of a run.")
@click.argument("run", metavar="RUN_OR_DIR", type=click.Path(path_type=Path))
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
def serve(run: Path, rest_port: int | None, grpc_port: int | None, host: str | None, name: str | None) -> None:
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


def served(run: Path) -> tuple[Path, "ServingConfig", str]:
    """What `serve` is to serve.

    Args:
      run: a configuration file, the folder of a run, a folder that models are pushed to, or a SavedModel.

    Returns:
      The folder with the model or its versions, the settings, and the model's name.

    Raises:
      ConfigError: the configuration cannot be used.
      ToldError: there is no such file or folder, or the run has pushed no model.
    """
    from serving.config import ServingConfig

    if run.is_file():
        from pipeline.config import load_config

        config = load_config(run)
        return Path(config.destination), config.serving, config.name
    if not run.is_dir():
        raise ToldError(f"There is no {run}; give the folder of a run (such as runs/NAME), a configuration or a model")
    if (run / "serving").is_dir():
        return run / "serving", ServingConfig(), run.absolute().name
    if (run / "metadata.db").exists():
        raise ToldError(
            f"{run} has pushed no model yet: run its pipeline until the model is blessed "
            "(or give its configuration, if that has a pusher.destination)"
        )
    path = run.absolute()
    while path.name.isdigit() or path.name == "serving":
        path = path.parent
    return run, ServingConfig(), path.name or "model"


@main.command()
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--url", default="http://127.0.0.1:8501", show_default=True, help="REST address of the server.")
@click.option("--model", help="The model's name [the one of the runs in runs/ that the server knows].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: all probabilities of every image.")
def predict(images: tuple[Path, ...], url: str, model: str | None, as_json: bool) -> None:
    """Ask a server what is in images."""
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
            }
            for image, one in zip(images, predictions, strict=True)
        ]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    wide, label = max(len(str(image)) for image in images), max(len(one.label) for one in predictions)
    for image, one in zip(images, predictions, strict=True):
        click.echo(f"{image!s:<{wide}}  {click.style(f'{one.label:<{label}}', bold=True)}  {one.probability:6.1%}")


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


@main.command(short_help="Print where the report of a run is.")
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


@main.command(name="compile", short_help="Compile a pipeline for Kubeflow.")
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
    with working("loading TensorFlow and TFX"), output_to(Path(os.devnull)):
        from pipeline.kubeflow.compile import compile_pipeline

        compile_pipeline(settings, output, engine)
    click.echo(f"Wrote {output}")


@main.command(short_help="Say what this machine has and lacks.")
def doctor() -> None:
    """Say what this machine has for the pipeline, and what each missing thing costs."""
    from pipeline.doctor import examine, show

    findings = examine()
    show(findings)
    sys.exit(any(finding.needed and finding.cost for finding in findings))


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Says what is going on while it goes on; only on a terminal."""
    from rich.console import Console

    with Console(stderr=True).status(what) if sys.stderr.isatty() else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator["Progress"]:
    """A bar on a terminal, a line elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    if not console.is_terminal:
        click.echo(what)
        yield lambda done, total: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        advance: Callable[[int, int], None] = lambda done, total: bar.update(task, completed=done, total=total)  # noqa: E731
        yield advance


if __name__ == "__main__":
    main()
