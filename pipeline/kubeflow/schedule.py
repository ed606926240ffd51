"""Continuous training on Kubeflow: recurring runs."""

from collections.abc import Mapping
from typing import Any

import kfp

from pipeline.config import PipelineConfig
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


def name_of(config: PipelineConfig) -> str:
    """The pipeline's name on the cluster."""
    return config.name.replace("_", "-")
