"""Continuous training on Kubeflow: recurring runs, and a run for each new span of data."""

from collections.abc import Mapping
from typing import Any

import kfp

from pipeline.config import ConfigError, PipelineConfig
from pipeline.kubeflow import client as kubeflow


def connect(config: PipelineConfig) -> kfp.Client:
    """The cluster of a configuration."""
    return kfp.Client(host=config.kubeflow.endpoint, namespace=config.kubeflow.namespace)


def schedule(
    client: kfp.Client,
    config: PipelineConfig,
    *,
    cron: str | None = None,
    seconds: int | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Any:
    """Starts runs of the pipeline's newest version again and again, in place of the schedule there was.

    A run starts only after the one before it has ended; times that pass meanwhile are not made up for.

    Args:
      client: the cluster's.
      config: of a pipeline that was uploaded there.
      cron: when, in six fields that begin with the second; or
      seconds: from one start to the next.
      parameters: run parameters as text.

    Returns:
      The recurring run, as the API gives it.
    """
    name = name_of(config)
    pipeline = kubeflow.pipeline_id(client, name)
    version = kubeflow.newest_version(client, pipeline)
    before = schedules(client, config)
    created = client.create_recurring_run(
        experiment_id=kubeflow.experiment_id(client, name),
        job_name=name,
        cron_expression=cron,
        interval_second=seconds,
        max_concurrency=1,
        no_catchup=True,
        params=kubeflow.typed(parameters or {}, version.pipeline_spec),
        pipeline_id=pipeline,
        version_id=version.pipeline_version_id,
        service_account=config.kubeflow.service_account,
    )
    for old in before:  # only now: a refusal leaves the old one in force
        client.delete_recurring_run(old.recurring_run_id)
    return created


def schedules(client: kfp.Client, config: PipelineConfig) -> list[Any]:
    """The recurring runs of a pipeline."""
    experiment = kubeflow.experiment_id(client, name_of(config))
    return kubeflow.every(client.list_recurring_runs, "recurring_runs", experiment_id=experiment)


def unschedule(client: kfp.Client, config: PipelineConfig) -> int:
    """Deletes the recurring runs of a pipeline; returns how many there were."""
    found = schedules(client, config)
    for one in found:
        client.delete_recurring_run(one.recurring_run_id)
    return len(found)


def run_new_span(client: kfp.Client, config: PipelineConfig) -> Any | None:
    """Starts a run on the newest span if there has been none; the cluster's runs are the only memory.

    Returns:
      The run, as the API gives it, or None.

    Raises:
      ConfigError: the data have no spans, or there is none yet.
    """
    span, number = newest_span(config.data.path)
    name = name_of(config)
    title = f"{name}-span-{span}" + (f"-version-{number}" if number is not None else "")
    experiment = kubeflow.experiment_id(client, name)
    runs = kubeflow.every(client.list_runs, "runs", experiment_id=experiment)
    if any(run.display_name == title for run in runs):
        return None
    pipeline = kubeflow.pipeline_id(client, name)
    version = kubeflow.newest_version(client, pipeline)
    return client.run_pipeline(
        experiment_id=experiment,
        job_name=title,
        # That very span, although a newer one may have come before the run reads it.
        params=kubeflow.typed({"data_path": config.data.path, "span": str(span)}, version.pipeline_spec),
        pipeline_id=pipeline,
        version_id=version.pipeline_version_id,
        service_account=config.kubeflow.service_account,
    )


def newest_span(path: str) -> tuple[int, int | None]:
    """The newest span of a path with {SPAN} or {YYYY}, {MM} and {DD}, and perhaps {VERSION}, as ingestion finds it.

    Returns:
      (its number, which is days since 1970 where it is a date, and its newest version if there are any).

    Raises:
      ConfigError: the path has no such placeholder, nothing matches it, or its store cannot be read.
    """
    from components.image_example_gen.sources import DataError
    from components.image_example_gen.spans import PLACEHOLDER, resolve
    from components.image_example_gen.storage import StorageError

    if not PLACEHOLDER.search(path):
        raise ConfigError(
            "data.path: has no {SPAN} or date in it, so there is no new span; `schedule set` goes by time"
        )
    try:
        found = resolve(path)
    except (DataError, StorageError) as error:
        raise ConfigError(f"data.path: {error}") from error
    return found.span, found.version


def name_of(config: PipelineConfig) -> str:
    """The pipeline's name on the cluster."""
    return config.name.replace("_", "-")
