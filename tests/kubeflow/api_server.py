"""The part of Kubeflow Pipelines' v2beta1 API that the `tfx` command uses, in memory, in the models of its own client.

Every request is kept, and refused with the codes of the real server: 404 for what is not there, 400 for what is not
well-formed.
"""

import contextlib
import email.parser
import email.policy
import json
import re
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api as api
import yaml

PREFIX = "/apis/v2beta1"


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class Kubeflow:
    """What a cluster knows."""

    def __init__(self) -> None:
        self.pipelines: dict[str, api.V2beta1Pipeline] = {}
        self.versions: dict[str, api.V2beta1PipelineVersion] = {}
        self.experiments: dict[str, api.V2beta1Experiment] = {}
        self.runs: dict[str, api.V2beta1Run] = {}
        self.recurring: dict[str, api.V2beta1RecurringRun] = {}
        self.requests: list[str] = []
        """METHOD /path of each."""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        """The model that answers a request."""
        self.requests.append(f"{method} {path}")
        for pattern, handle in ROUTES.items():
            if match := re.fullmatch(pattern, f"{method} {path}"):
                return handle(self, query, body, *match.groups())
        raise Refused(404, f"{method} {path} is not part of the API")


def now() -> datetime:
    return datetime.now(UTC)


def find(items: dict[str, Any], identity: str) -> Any:
    if identity not in items:
        raise Refused(404, f"{identity} not found")
    return items[identity]


def page(items: Iterator[Any] | list[Any], query: dict[str, str]) -> tuple[list[Any], str | None]:
    """A page, two items at most so that clients have to ask again, and the token of the next."""
    predicates = json.loads(query.get("filter") or "{}").get("predicates", [])
    chosen = [
        item
        for item in items
        if all(getattr(item, one["key"]) == one.get("stringValue", one.get("string_value")) for one in predicates)
    ]
    if query.get("sort_by", "").endswith("desc"):
        chosen.reverse()
    start, size = int(query.get("page_token") or 0), min(int(query.get("page_size") or 2), 2)
    return chosen[start : start + size], str(start + size) if start + size < len(chosen) else None


def upload_pipeline(server: Kubeflow, query: dict[str, str], body: bytes) -> Any:
    if any(one.display_name == query["name"] for one in server.pipelines.values()):
        raise Refused(409, f"the name {query['name']} is taken")
    pipeline = api.V2beta1Pipeline(pipeline_id=str(uuid.uuid4()), display_name=query["name"], created_at=now())
    server.pipelines[pipeline.pipeline_id] = pipeline
    add_version(server, query["name"], pipeline.pipeline_id, body)
    return pipeline


def upload_version(server: Kubeflow, query: dict[str, str], body: bytes) -> Any:
    find(server.pipelines, query["pipelineid"])
    return add_version(server, query["name"], query["pipelineid"], body)


def add_version(server: Kubeflow, name: str, pipeline_id: str, body: bytes) -> Any:
    pipeline_spec, platform_spec = yaml.safe_load_all(body)
    version = api.V2beta1PipelineVersion(
        pipeline_id=pipeline_id,
        pipeline_version_id=str(uuid.uuid4()),
        display_name=name,
        created_at=now(),
        pipeline_spec={"pipeline_spec": pipeline_spec, "platform_spec": platform_spec},
    )
    server.versions[version.pipeline_version_id] = version
    return version


def list_pipelines(server: Kubeflow, query: dict[str, str], body: Any) -> Any:
    found, token = page(list(server.pipelines.values()), query)
    return api.V2beta1ListPipelinesResponse(pipelines=found or None, next_page_token=token)


def list_versions(server: Kubeflow, query: dict[str, str], body: Any, pipeline_id: str) -> Any:
    find(server.pipelines, pipeline_id)
    of_pipeline = [one for one in server.versions.values() if one.pipeline_id == pipeline_id]
    found, token = page(of_pipeline, query)
    return api.V2beta1ListPipelineVersionsResponse(pipeline_versions=found or None, next_page_token=token)


def delete_pipeline(server: Kubeflow, query: dict[str, str], body: Any, pipeline_id: str) -> Any:
    find(server.pipelines, pipeline_id)
    if any(one.pipeline_id == pipeline_id for one in server.versions.values()):
        raise Refused(400, "the pipeline has versions")
    del server.pipelines[pipeline_id]
    return {}


def delete_version(server: Kubeflow, query: dict[str, str], body: Any, pipeline_id: str, version_id: str) -> Any:
    find(server.versions, version_id)
    del server.versions[version_id]
    return {}


def list_experiments(server: Kubeflow, query: dict[str, str], body: Any) -> Any:
    found, token = page(list(server.experiments.values()), query)
    return api.V2beta1ListExperimentsResponse(experiments=found or None, next_page_token=token)


def create_experiment(server: Kubeflow, query: dict[str, str], body: Any) -> Any:
    experiment = api.V2beta1Experiment(
        experiment_id=str(uuid.uuid4()), display_name=body["display_name"], namespace=body.get("namespace")
    )
    server.experiments[experiment.experiment_id] = experiment
    return experiment


def create_run(server: Kubeflow, query: dict[str, str], body: Any) -> Any:
    find(server.experiments, body["experiment_id"])
    check_parameters(server, body)
    run = api.V2beta1Run(
        experiment_id=body["experiment_id"],
        run_id=str(uuid.uuid4()),
        display_name=body["display_name"],
        state=api.V2beta1RuntimeState.PENDING,
        created_at=now(),
        pipeline_version_reference=body["pipeline_version_reference"],
        runtime_config=body["runtime_config"],
    )
    server.runs[run.run_id] = run
    return run


def check_parameters(server: Kubeflow, body: Any) -> None:
    version = find(server.versions, body["pipeline_version_reference"]["pipeline_version_id"])
    known = version.pipeline_spec["pipeline_spec"]["root"]["inputDefinitions"]["parameters"]
    for name, value in (body["runtime_config"].get("parameters") or {}).items():
        kinds = {"STRING": str, "NUMBER_INTEGER": int, "NUMBER_DOUBLE": (int, float), "BOOLEAN": bool}
        if name not in known or not isinstance(value, kinds[known[name]["parameterType"]]):
            raise Refused(400, f"parameter {name} is not known or has the wrong type")


def create_recurring_run(server: Kubeflow, query: dict[str, str], body: Any) -> Any:
    find(server.experiments, body["experiment_id"])
    check_parameters(server, body)
    trigger = body["trigger"]
    if not 1 <= int(body["max_concurrency"]) <= 10:
        raise Refused(400, "max_concurrency must be between 1 and 10")
    if fields := (trigger.get("cron_schedule") or {}).get("cron"):
        if not re.fullmatch(r"([\d*/,?-]+ ){4,5}[\d*/,?-]+", fields):
            raise Refused(400, f"Schedule cron is not a supported format: {fields}")
    elif int(trigger["periodic_schedule"]["interval_second"]) < 1:
        raise Refused(400, "the interval must be positive")
    periodic = trigger.get("periodic_schedule")
    recurring = api.V2beta1RecurringRun(
        recurring_run_id=str(uuid.uuid4()),
        display_name=body["display_name"],
        experiment_id=body["experiment_id"],
        max_concurrency=body["max_concurrency"],
        no_catchup=body["no_catchup"],
        trigger=api.V2beta1Trigger(
            cron_schedule=api.V2beta1CronSchedule(cron=fields) if fields else None,
            periodic_schedule=api.V2beta1PeriodicSchedule(**periodic) if periodic else None,
        ),
        runtime_config=api.V2beta1RuntimeConfig(parameters=body["runtime_config"].get("parameters")),
        status="ENABLED",
    )
    server.recurring[recurring.recurring_run_id] = recurring
    return recurring


def list_recurring_runs(server: Kubeflow, query: dict[str, str], body: Any) -> Any:
    of_experiment = [one for one in server.recurring.values() if one.experiment_id == query.get("experiment_id")]
    found, token = page(of_experiment, query)
    return api.V2beta1ListRecurringRunsResponse(recurring_runs=found or None, next_page_token=token)


def delete_recurring_run(server: Kubeflow, query: dict[str, str], body: Any, identity: str) -> Any:
    find(server.recurring, identity)
    del server.recurring[identity]
    return {}


def list_runs(server: Kubeflow, query: dict[str, str], body: Any) -> Any:
    of_experiment = [one for one in server.runs.values() if one.experiment_id == query.get("experiment_id")]
    found, token = page(of_experiment, query)
    return api.V2beta1ListRunsResponse(runs=found or None, next_page_token=token)


def terminate_run(server: Kubeflow, query: dict[str, str], body: Any, run_id: str) -> Any:
    find(server.runs, run_id).state = api.V2beta1RuntimeState.CANCELING
    return {}


def delete_run(server: Kubeflow, query: dict[str, str], body: Any, run_id: str) -> Any:
    find(server.runs, run_id)
    del server.runs[run_id]
    return {}


ID = r"([0-9a-z-]+)"
ROUTES: dict[str, Any] = {
    r"GET /pipelines": list_pipelines,
    r"POST /pipelines/upload": upload_pipeline,
    r"POST /pipelines/upload_version": upload_version,
    rf"GET /pipelines/{ID}/versions": list_versions,
    rf"GET /pipelines/{ID}/versions/{ID}": lambda server, query, body, pipeline_id, version_id: find(
        server.versions, version_id
    ),
    rf"DELETE /pipelines/{ID}/versions/{ID}": delete_version,
    rf"DELETE /pipelines/{ID}": delete_pipeline,
    r"GET /experiments": list_experiments,
    r"POST /experiments": create_experiment,
    r"GET /runs": list_runs,
    r"POST /runs": create_run,
    rf"GET /runs/{ID}": lambda server, query, body, run_id: find(server.runs, run_id),
    rf"POST /runs/{ID}:terminate": terminate_run,
    rf"DELETE /runs/{ID}": delete_run,
    r"POST /recurringruns": create_recurring_run,
    r"GET /recurringruns": list_recurring_runs,
    rf"DELETE /recurringruns/{ID}": delete_recurring_run,
    r"GET /healthz": lambda server, query, body: api.V2beta1GetHealthzResponse(multi_user=False),
}


@contextlib.contextmanager
def running_kubeflow() -> Iterator[tuple[str, Kubeflow]]:
    """The address of a server, and what it knows."""
    cluster = Kubeflow()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(address.query).items()}
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Content-Type", "")
            try:
                body: Any = uploaded_file(kind, data) if "multipart" in kind else json.loads(data or b"{}")
                model = cluster.answer(self.command, address.path.removeprefix(PREFIX), query, body)
                status, answer = 200, api.ApiClient().sanitize_for_serialization(model)
            except Refused as refused:
                status, answer = refused.status, {"error": str(refused)}
            payload = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_DELETE = _handle

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", cluster
    finally:
        server.shutdown()
        server.server_close()


def uploaded_file(kind: str, data: bytes) -> bytes:
    """The file in a multipart form."""
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + data
    )
    [part] = [part for part in message.iter_parts() if part.get_filename()]
    return part.get_payload(decode=True)
