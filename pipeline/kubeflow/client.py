"""Talks to the Kubeflow Pipelines API: what `tfx … --engine=kubeflow` and `tfx-vision schedule` share."""

import contextlib
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click
import kfp
import kfp_server_api
import urllib3

PAGE = 100


class KubeflowError(click.ClickException):
    """The cluster cannot be asked, or refuses."""


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Turns the client's errors into sentences.

    Raises:
      KubeflowError: what happened and what to check.
    """
    try:
        yield
    except urllib3.exceptions.HTTPError as error:
        raise KubeflowError(f"Kubeflow Pipelines does not answer; check the endpoint ({error})") from error
    except kfp_server_api.ApiException as error:
        raise KubeflowError(f"Kubeflow Pipelines refused ({error.status} {error.reason}): {error.body}") from error


def every(call: Any, field: str, **arguments: Any) -> list[Any]:
    """All items of a list that the server gives in pages."""
    items: list[Any] = []
    token = ""
    while True:
        page = call(page_token=token, page_size=PAGE, **arguments)
        items += getattr(page, field) or []
        token = page.next_page_token or ""
        if not token:
            return items


def pipeline_id(client: kfp.Client, name: str) -> str:
    """The identity of an uploaded pipeline.

    Raises:
      KubeflowError: there is none of that name.
    """
    found = client.get_pipeline_id(name)
    if found is None:
        raise KubeflowError(f"there is no pipeline {name}; `tfx pipeline list` shows those there are")
    return found


def newest_version(client: kfp.Client, pipeline: str) -> Any:
    """The version of a pipeline that was uploaded last."""
    [version] = client.list_pipeline_versions(pipeline, page_size=1, sort_by="created_at desc").pipeline_versions
    return version


def experiment_id(client: kfp.Client, name: str) -> str:
    """The experiment of a pipeline's runs, which has its name; made when it is not there."""
    with contextlib.redirect_stdout(io.StringIO()):  # the SDK prints a link, for notebooks
        return client.create_experiment(name).experiment_id


def typed(given: Mapping[str, str], pipeline_spec: dict[str, Any]) -> dict[str, Any]:
    """Run parameters in the types that the compiled pipeline gives them.

    Raises:
      KubeflowError: one is not a run parameter, or not of its type.
    """
    root = pipeline_spec.get("pipeline_spec", pipeline_spec)["root"]
    known = root.get("inputDefinitions", {}).get("parameters", {})
    convert: dict[str, Callable[[str], Any]] = {
        "NUMBER_INTEGER": int,
        "NUMBER_DOUBLE": float,
        "BOOLEAN": lambda text: text.lower() == "true",
    }
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in known:
            raise KubeflowError(f"{name} is not a run parameter; there are {', '.join(sorted(known))}")
        try:
            values[name] = convert.get(known[name]["parameterType"], str)(text)
        except ValueError as error:
            raise KubeflowError(f"{name}: {text!r} is not a {known[name]['parameterType']}") from error
    return values
