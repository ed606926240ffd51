"""The part of Google Cloud Storage's JSON API that we use, over a dict: its own is in no package."""

import contextlib
import email
import email.policy
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Handler(BaseHTTPRequestHandler):
    """Objects are kept in the class attribute `objects`, a new dict per server."""

    objects: dict[str, bytes]
    lock: threading.Lock

    def do_GET(self) -> None:
        path, query = self.target()
        if path[-1] == "o":
            names = sorted(name for name in self.objects if name.startswith(query.get("prefix", "")))
            return self.answer({"items": [self.resource(name) for name in names]})
        if path[-1] not in self.objects:
            return self.answer({"error": {"code": 404, "message": "No such object"}}, 404)
        return (
            self.send(self.objects[path[-1]]) if query.get("alt") == "media" else self.answer(self.resource(path[-1]))
        )

    def do_POST(self) -> None:
        path, query = self.target()
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if "rewriteTo" in path:
            source, target = path[path.index("rewriteTo") - 1], path[-1]
            self.objects[target] = self.objects[source]
            return self.answer({"done": True, "resource": self.resource(target)} | self.sizes(target))
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        description, content = email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts()
        name = json.loads(description.get_payload(decode=True))["name"]
        with self.lock:
            if query.get("ifGenerationMatch") == "0" and name in self.objects:
                return self.answer({"error": {"code": 412, "message": "Precondition Failed"}}, 412)
            self.objects[name] = content.get_payload(decode=True)
        return self.answer(self.resource(name))

    def do_DELETE(self) -> None:
        path, _ = self.target()
        found = self.objects.pop(path[-1], None) is not None
        self.answer({} if found else {"error": {"code": 404, "message": "No such object"}}, 204 if found else 404)

    def target(self) -> tuple[list[str], dict[str, str]]:
        path, _, query = self.path.partition("?")
        return [urllib.parse.unquote(part) for part in path.split("/")], dict(urllib.parse.parse_qsl(query))

    def resource(self, name: str) -> dict:
        about = {"name": name, "bucket": "models", "generation": "1", "updated": "2100-01-01T00:00:00.000Z"}
        return about | self.sizes(name)

    def sizes(self, name: str) -> dict:
        size = str(len(self.objects[name]))
        return {"size": size, "objectSize": size, "totalBytesRewritten": size}

    def answer(self, document: dict, status: int = 200) -> None:
        self.send(json.dumps(document).encode() if status != 204 else b"", status)

    def send(self, content: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def google_cloud_storage() -> Iterator[str]:
    """Such a service, which the environment names, for as long as the context lasts.

    Yields:
      The URI of an empty bucket.
    """
    handler = type("Objects", (Handler,), {"objects": {}, "lock": threading.Lock(), "protocol_version": "HTTP/1.1"})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http, pytest.MonkeyPatch.context() as patch:
        http.daemon_threads = True
        patch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{http.server_port}")
        patch.setenv("GOOGLE_CLOUD_PROJECT", "project")
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield "gs://models"
        http.shutdown()
