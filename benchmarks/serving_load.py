"""The development server under load, beside calling the saved model in the same process.

Usage: serving.py [REQUESTS]   (default 10,000)

1. While versions change: mixed requests at 32 connections (rows, columns, one picture and eight, labels, metadata,
   status, gRPC), while five new versions are pushed and the last one is rolled back. An answer that is an error, or
   that names another version than the one that gave it, is a failure.
2. Latency and throughput of single pictures, at 1 and 32 connections, with and without batching, and what the saved
   model does in a process of its own, alone and in batches of 32. The load generator shares the server's machine.
3. Bad requests: malformed bodies, wrong types, unknown signatures, bodies of 100 MB, clients that are slow; the
   server's memory before and after.

Everything is on 127.0.0.1. Writes serving_load.md beside this file.
"""

import asyncio
import io
import json
import platform
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

import psutil
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from serving import publish, versions  # noqa: E402
from tests.serving.load import Report, Request, b64, get, post, run  # noqa: E402
from tests.serving.running import Server, run_python, start  # noqa: E402

MODEL = "/v1/models/traffic"
CONNECTIONS = 32
PUSHES = 5


def main() -> None:
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        numbers = [str(number) for number in range(1, PUSHES + 2)]
        process = run_python(str(HERE.parent / "tests/serving/versioned_model.py"), str(work / "models"), *numbers)
        assert process.wait() == 0, process.stderr and process.stderr.read()
        lines = ["# The development server", "", f"`benchmarks/serving_load.py {requests}` on {machine()}.", ""]
        lines += changing(work, requests)
        lines += speed(work, requests // 5)
        lines += bad_requests(work, requests)
    (HERE / "serving_load.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


GRPC = """
import io, json, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from serving import Client
picture = np.zeros((20, 30, 3), np.uint8)
with Client(f"grpc://{sys.argv[1]}", model_name="traffic", retries=0) as client:
    def ask(_):
        try:
            [answer] = client.predict([picture])
            return None if answer.label == f"v{answer.version}" else f"gRPC: {answer}"
        except Exception as error:
            return f"gRPC: {error}"
    ask(0)
    print("ready", flush=True)
    with ThreadPoolExecutor(4) as threads:
        print(json.dumps([failure for failure in threads.map(ask, range(int(sys.argv[2]))) if failure]))
"""


def machine() -> str:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = cpu[1] if cpu else platform.machine()
    return (
        f"{psutil.cpu_count()} cores of {name}, {platform.system()}, Python {platform.python_version()}, {date.today()}"
    )


def picture(seed: int) -> bytes:
    chance, buffer = random.Random(seed), io.BytesIO()
    small = Image.frombytes("RGB", (12, 12), chance.randbytes(432))
    small.resize((96, 96)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def push(work: Path, number: int) -> None:
    publish(
        work / "models" / str(number), work / "served",
        model=f"model {number}", champion=None, pipeline="p", run="r", metrics={},
    )  # fmt: skip


def serving(work: Path, **settings: object) -> Server:
    return start(work / "served", json.dumps({"rest_port": 0, "grpc_port": 0} | settings))


def port_of(server: Server) -> int:
    return int(server.rest.rpartition(":")[2])


def stop(server: Server) -> None:
    server.process.terminate()
    output, errors = server.process.communicate(timeout=60)
    assert output.endswith("finished\n"), errors


def mixed(count: int) -> list[Request]:
    pictures = [b64(picture(seed)) for seed in range(20)]
    one, eight = [pictures[:1], pictures[1:9]]
    choices = [
        *[post(f"{MODEL}:predict", {"instances": [each]}) for each in pictures[:10]],
        post(f"{MODEL}:predict", {"inputs": {"image": one}}),
        post(f"{MODEL}:predict", {"inputs": eight}),
        post(f"{MODEL}:predict", {"instances": [{"image": each} for each in eight]}),
        post(f"{MODEL}/labels/stable:predict", {"instances": one}),
        get(f"{MODEL}/metadata"),
        get(MODEL),
    ]
    chance = random.Random(1)
    return [chance.choice(choices) for _ in range(count)]


def changing(work: Path, count: int) -> list[str]:
    push(work, 1)
    server = serving(work)
    reports: list[Report] = []
    load = run(port_of(server), mixed(count), CONNECTIONS)
    thread = threading.Thread(target=lambda: reports.append(asyncio.run(load)))
    asyncio.run(run(port_of(server), mixed(64), CONNECTIONS))
    over_grpc = run_python("-c", GRPC, server.grpc, str(count // 10))
    assert over_grpc.stdout and over_grpc.stdout.readline() == "ready\n"
    thread.start()
    changes = [*(lambda number=number: push(work, number) for number in range(2, PUSHES + 2)), roll_back(work)]
    for change in changes:
        time.sleep(0.5)
        change()
        wait_until_served(server, versions.served_version(work / "served"))
    during = thread.is_alive()
    thread.join()
    [report] = reports
    report.failures += json.loads(over_grpc.communicate()[0])
    answered = sorted(report.versions.items())
    told = (
        f"{count:,} mixed REST requests at {CONNECTIONS} connections, and {count // 10:,} gRPC requests at 4, while "
        f"{PUSHES} versions arrived and one rollback happened{'' if during else ' (in part after the last request)'}: "
        f"**{len(report.failures)} failed**. "
        f"REST answers by version: {', '.join(f'{number}: {times:,}' for number, times in answered)}. "
    )
    told += f"{len(report.milliseconds) / report.seconds:,.0f} requests/s; {percentiles(report)} ms (p50/p95/p99)."
    stop(server)
    for failure in report.failures[:5]:
        print("failure:", failure)
    return ["## While versions change", "", told, ""]


def roll_back(work: Path):
    return lambda: versions.rollback(work / "served", why="benchmark")


def wait_until_served(server: Server, version: int | None) -> None:
    import httpx

    while httpx.get(f"{server.rest}{MODEL}/metadata").headers["model-version"] != str(version):
        time.sleep(0.1)


def percentiles(report: Report) -> str:
    return " / ".join(f"{report.percentile(share):.1f}" for share in (0.5, 0.95, 0.99))


def speed(work: Path, count: int) -> list[str]:
    single = [post(f"{MODEL}:predict", {"instances": [b64(picture(seed))]}) for seed in range(50)]
    rows = []
    for name, size in (("batching, up to 32", 32), ("no batching", 1)):
        server = serving(work, batching={"max_batch_size": size})
        asyncio.run(run(port_of(server), single * 2, CONNECTIONS))
        for connections, share in ((1, 4), (CONNECTIONS, 1)):
            chosen = (single * (count // len(single) + 1))[: count // share]
            report = asyncio.run(run(port_of(server), chosen, connections))
            assert not report.failures, report.failures[0]
            rate = len(chosen) / report.seconds
            rows.append(f"| {name} | {connections} | {percentiles(report).replace(' / ', ' | ')} | {rate:,.0f} |")
        stop(server)
    command = [sys.executable, __file__, "in-process", str(work / "models" / "1")]
    own = json.loads(subprocess.check_output(command, text=True))
    for name, times, rate in (
        ("the saved model in process", own["single"], own["rate"]),
        ("the same in batches of 32", own["batch"], own["batch_rate"]),
    ):
        rows.append(f"| {name} | – | {' | '.join(f'{value:.1f}' for value in times)} | {rate:,.0f} |")
    overhead = float(rows[0].split("|")[3]) - own["single"][0]
    head = ["| 96 × 96 JPEGs, one a request | connections | p50, ms | p95 | p99 | pictures/s |"]
    head += ["|---|---:|---:|---:|---:|---:|"]
    note = f"The development server adds {overhead:.1f} ms to the p50 of a lone request (JSON, base64, HTTP, Python)."
    return ["## Latency and throughput", "", *head, *rows, "", note, ""]


def in_process(folder: str) -> None:
    import tensorflow as tf

    run_model = tf.saved_model.load(folder).signatures["serving_default"]
    pictures = [picture(seed) for seed in range(64)]

    def timed(size: int, times: int) -> tuple[list[float], float]:
        batches = [tf.constant((pictures * 2)[index % 50 : index % 50 + size]) for index in range(times)]
        for batch in batches[:5]:
            run_model(image=batch)
        report, started = Report(), time.perf_counter()
        for batch in batches:
            begin = time.perf_counter()
            run_model(image=batch)["label"].numpy()
            report.milliseconds.append((time.perf_counter() - begin) * 1000)
        seconds = time.perf_counter() - started
        return [report.percentile(share) for share in (0.5, 0.95, 0.99)], size * times / seconds

    single, rate = timed(1, 500)
    batch, batch_rate = timed(32, 40)
    print(json.dumps({"single": single, "rate": rate, "batch": batch, "batch_rate": batch_rate}))


def bad_requests(work: Path, count: int) -> list[str]:
    server = serving(work, client_timeout=5)
    process = psutil.Process(server.process.pid)
    path = f"{MODEL}:predict"
    bad = [
        post(path, {"instances": [1]}),
        post(path, {"instances": [b64(b"no picture")]}),
        post(path, {"instances": [{"b64": "?"}]}),
        post(path, {"signature_name": "nope", "instances": ["a"]}),
        post(path, {"instances": [[["a"]]]}),
        post("/v1/models/nobody:predict", {"instances": ["a"]}),
        post(f"{MODEL}/versions/99:predict", {"instances": ["a"]}),
        post(f"{MODEL}/labels/none:predict", {"instances": ["a"]}),
        Request("POST", f"POST {path} HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n{{'not: js".encode()),
        Request("POST", f"POST {path} HTTP/1.1\r\nHost: s\r\nContent-Length: 0\r\n\r\n".encode()),
    ]
    chosen = (bad * (count // len(bad) + 1))[:count]
    asyncio.run(run(port_of(server), chosen[: count // 10], CONNECTIONS))
    before = process.memory_info().rss
    report = asyncio.run(run(port_of(server), chosen, CONNECTIONS))
    after = process.memory_info().rss
    statuses = sorted({failure.split()[1].rstrip(":") for failure in report.failures})
    large = [send_large(port_of(server)) for _ in range(5)]
    after_large = process.memory_info().rss
    slow = slow_clients(port_of(server), 20)
    alive = asyncio.run(run(port_of(server), mixed(32), 4))
    stop(server)
    return [
        "## Bad requests", "",
        f"{count:,} malformed requests at {CONNECTIONS} connections: {len(report.failures):,} refused, with the "
        f"statuses {', '.join(statuses)}; the server's memory was {before / 2**20:,.0f} MiB before and "
        f"{after / 2**20:,.0f} MiB after. "
        f"Five bodies of 100 MB: {', '.join(map(str, large))}; {after_large / 2**20:,.0f} MiB. "
        f"{slow} of 20 clients that sent a byte a second were sent away after 5 s. "
        f"Then {len(alive.failures)} of 32 good requests failed.",
    ]  # fmt: skip


def send_large(port: int, size: int = 100_000_000) -> int:
    """Status of a request with so large a body."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"POST {MODEL}:predict HTTP/1.1\r\nHost: s\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(size // 1_000_000):
            connection.sendall(b"a" * 1_000_000)
        return int(connection.recv(1000).split()[1])


def slow_clients(port: int, count: int) -> int:
    """How many of the connections the server closed that send a byte a second: half of a head, half of a body."""
    head = f"POST {MODEL}:predict HTTP/1.1\r\nHost: s\r\nContent-Length: 99\r\n".encode()
    connections = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(count)]
    for index, connection in enumerate(connections):
        connection.sendall(head + (b"\r\n" if index % 2 else b""))
    closed = set()
    for _ in range(9):
        time.sleep(1)
        for index, connection in enumerate(connections):
            if index in closed:
                continue
            try:
                connection.sendall(b"X")
                connection.setblocking(False)
                answer = connection.recv(1000)
                if not answer or b" 408 " in answer:
                    closed.add(index)
            except BlockingIOError:
                pass
            except OSError:
                closed.add(index)
            finally:
                connection.setblocking(True)
    for connection in connections:
        connection.close()
    return len(closed)


if __name__ == "__main__":
    if sys.argv[1:2] == ["in-process"]:
        in_process(sys.argv[2])
    else:
        main()
