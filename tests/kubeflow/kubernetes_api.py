"""Stands in for Kubernetes' API server: TFJobs and pods in memory, over HTTP, as far as a step and an operator ask.

A real one, where there is one, takes its place in the slow tests. What is created is checked as a cluster does: by
Kubernetes' own schemas, and by the rules of the training operator's admission webhook.
"""

import contextlib
import http.server
import itertools
import json
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

PATH = re.compile(
    r"/(?:api|apis/kubeflow\.org)/v1/namespaces/(?P<namespace>[^/]+)/(?P<plural>tfjobs|pods)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<part>status|log))?$"
)
JOB_KEYS = {"runPolicy", "tfReplicaSpecs", "successPolicy", "enableDynamicWorker"}
REPLICA_KEYS = {"replicas", "restartPolicy", "template"}


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


def admit(job: dict[str, Any]) -> None:
    """What the custom resource's schema and the webhook refuse (pkg/webhooks/tensorflow/tfjob_webhook.go)."""
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", job["metadata"]["name"]):
        raise Refused(422, "metadata.name: no DNS-1035 label")
    if job["apiVersion"] != "kubeflow.org/v1" or set(job["spec"]) - JOB_KEYS:
        raise Refused(422, "not a TFJob")
    for replica in job["spec"]["tfReplicaSpecs"].values():
        if set(replica) - REPLICA_KEYS:
            raise Refused(422, "unknown key of a replica")
        template = replica["template"]
        if "tensorflow" not in [one["name"] for one in template["spec"]["containers"] if one["image"]]:
            raise Refused(422, "must have at least one container with name tensorflow")
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"} | template["metadata"]}
        kubernetes_validate.validate(pod | {"spec": template["spec"]}, "1.30", strict=True)


class Api:
    """What is in the cluster."""

    def __init__(self, logs: Path):
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.logs = logs
        """Folder of the pods' logs."""
        self.refuses: Refused | None = None
        """What becomes of whatever is asked of TFJobs."""
        self._lock = threading.Lock()

    def answer(self, method: str, url: str, body: dict[str, Any] | None) -> Any:
        parts = urllib.parse.urlsplit(url)
        query = dict(urllib.parse.parse_qsl(parts.query))
        found = PATH.fullmatch(parts.path)
        if not found:
            raise Refused(404, "the server could not find the requested resource")
        if found["plural"] == "tfjobs" and self.refuses:
            raise self.refuses
        key = (found["plural"], found["name"] or (body or {}).get("metadata", {}).get("name", ""))
        with self._lock:
            if method == "POST":
                return self._create(key, body or {})
            if found["name"] is None:
                wanted = dict(one.split("=") for one in query.get("labelSelector", "").split(",") if one)
                items = [one for (plural, _), one in self.objects.items() if plural == found["plural"]]
                items = [one for one in items if wanted.items() <= one["metadata"].get("labels", {}).items()]
                return {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}
            if key not in self.objects:
                raise Refused(404, f"{key[0]} {key[1]} not found")
            if method == "PATCH":
                merge(self.objects[key], body or {})
            if method == "DELETE":
                foreground = "Foreground" in (query.get("propagationPolicy"), (body or {}).get("propagationPolicy"))
                finalizers = ["foregroundDeletion"] if foreground else []
                deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}
                merge(self.objects[key], {"metadata": deleted})
            metadata = self.objects[key]["metadata"]
            if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
                return self.objects.pop(key)
            return self.objects[key]

    def _create(self, key: tuple[str, str], body: dict[str, Any]) -> dict[str, Any]:
        if key in self.objects:
            raise Refused(409, f"{key[0]} {key[1]} already exists")
        if key[0] == "tfjobs":
            admit(body)
        body["metadata"]["uid"] = str(uuid.uuid4())
        self.objects[key] = body
        return body

    def log(self, pod: str) -> Iterator[bytes]:
        """A pod's log, until it has ended."""
        file, position = self.logs / f"{pod}.log", 0
        if ("pods", pod) not in self.objects:
            raise Refused(404, f"pods {pod} not found")
        if not file.exists():
            raise Refused(400, "the container is waiting to start")
        while True:
            ended = file.with_suffix(".ended").exists()
            text = file.read_bytes()
            yield text[position:]
            position = len(text)
            if ended:
                return
            time.sleep(0.05)


def merge(target: dict[str, Any], patch: dict[str, Any]) -> None:
    """A merge patch (RFC 7386)."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[Api, Path]]:
    """The server, and a kubeconfig with its address."""
    api = Api(folder)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            try:
                pod = re.search(r"/pods/([^/]+)/log", self.path)
                if pod:
                    return self._stream(api.log(pod[1]))
                self._reply(200, api.answer(self.command, self.path, body))
            except Refused as refused:
                status = {"kind": "Status", "apiVersion": "v1", "code": refused.code, "message": str(refused)}
                self._reply(refused.code, status)

        do_GET = do_POST = do_PATCH = do_DELETE = _handle

        def _stream(self, parts: Iterator[bytes]) -> None:
            first = next(parts)
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in itertools.chain([first], parts):
                if part:  # an empty one would be the end
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")

        def _reply(self, code: int, body: Any) -> None:
            content = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api, kubeconfig(folder / "kubeconfig", f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


def kubeconfig(path: Path, address: str, authority: str | None = None, token: str | None = None) -> Path:
    """A file that names an API server, with the file of its certificate and whoever asks."""
    cluster = {"server": address} | ({"certificate-authority": authority} if authority else {})
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token} if token else {}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path
