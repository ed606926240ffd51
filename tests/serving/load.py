"""A load generator that costs little beside the server it loads: HTTP over kept-alive sockets, gRPC where asked."""

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """One HTTP request, ready to be written."""

    kind: str
    content: bytes
    names_version: bool = True
    """Whether its answer says in a header which version gave it."""


@dataclass
class Report:
    """What became of the requests."""

    milliseconds: list[float] = field(default_factory=list)
    versions: dict[int, int] = field(default_factory=dict)
    """How many answers each version gave."""
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def percentile(self, share: float) -> float:
        """Milliseconds that this share of the requests took at most."""
        ordered = sorted(self.milliseconds)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def get(path: str) -> Request:
    return Request("GET", f"GET {path} HTTP/1.1\r\nHost: server\r\n\r\n".encode(), "metadata" in path)


def post(path: str, document: object) -> Request:
    body = json.dumps(document).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: server\r\nContent-Length: {len(body)}\r\n\r\n"
    return Request("POST", head.encode() + body)


def b64(picture: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(picture).decode()}


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def run(port: int, requests: Sequence[Request], connections: int) -> Report:
    """Sends all requests, as many at a time as there are connections; each connection keeps its socket.

    An answer that is not 200, or that names another version than the label in it (a model's label is its version
    here, where it ends in digits), is a failure.
    """
    waiting, report = list(reversed(requests)), Report()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while waiting:
            request = waiting.pop()
            started = time.perf_counter()
            writer.write(request.content)
            try:
                status, headers, body = await read_answer(reader)
            except (asyncio.IncompleteReadError, OSError) as error:
                report.failures.append(f"{request.kind}: {error!r}")
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                continue
            report.milliseconds.append((time.perf_counter() - started) * 1000)
            note(report, request, status, headers, body)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(connections)))
    report.seconds = time.perf_counter() - started
    return report


def note(report: Report, request: Request, status: int, headers: dict[str, str], body: bytes) -> None:
    if status != 200:
        report.failures.append(f"{request.kind} {status}: {body[:200]!r}")
        return
    if not request.names_version:
        return
    if "model-version" not in headers:
        report.failures.append(f"{request.kind}: no version is named")
        return
    version = int(headers["model-version"])
    report.versions[version] = report.versions.get(version, 0) + 1
    if request.kind == "POST":
        document = json.loads(body)
        labels = (
            [row["label"] for row in document["predictions"]]
            if "predictions" in document
            else document["outputs"]["label"]
        )
        if set(labels) != {f"v{version}"}:
            report.failures.append(f"version {version} is named and {set(labels)} answered")
