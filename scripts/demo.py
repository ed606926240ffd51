"""Fashion-MNIST from download to an answered request: what `make demo` runs, with the environment's Python.

Every step is a command a person could type; the demo prints it, runs it, and stops with its exit status when it
fails. The server it starts ends with it.
"""

import contextlib
import ctypes
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

PROJECT = Path(__file__).resolve().parent.parent
NAME = "fashion_mnist"
DATA = "data/fashion-mnist"
CONFIG = f"configs/{NAME}.yaml"
RUN = f"runs/{NAME}"
PICTURE = f"{DATA}/test/ankle-boot/00000.png"
SECONDS_TO_START = 180
SECONDS_TO_STOP = 20
PR_SET_PDEATHSIG = 1

COMMAND = Path(sys.executable).with_name("tfx-vision")
TYPED = COMMAND.relative_to(PROJECT) if COMMAND.is_relative_to(PROJECT) else COMMAND
"""The command as a person would type it in the project's folder."""


def fail(sentence: str, status: int = 1) -> NoReturn:
    print(f"demo: {sentence}", file=sys.stderr)
    sys.exit(status)


def announce(step: str) -> None:
    print(f"\ndemo: {step}", flush=True)


def shown(*words: str) -> str:
    """A `tfx-vision` command line as a person would type it."""
    return shlex.join([str(TYPED), *words])


def tfx_vision(*words: str) -> None:
    """Runs a `tfx-vision` command; when it fails, the demo ends with its exit status."""
    print(f"$ {shown(*words)}", flush=True)
    status = subprocess.run([COMMAND, *words]).returncode
    if status:
        fail(f"stopped, because tfx-vision {words[0]} ended with exit status {status}.", status if status > 0 else 1)


def free_ports() -> tuple[int, int]:
    """Two ports nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]


def die_with_parent() -> None:
    """In the server's process: the kernel sends it SIGTERM when the demo dies, however that happens."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """`tfx-vision serve` until the end of the block; gives the address of its REST API."""
    rest, grpc = map(str, free_ports())
    words = ("serve", RUN, "--rest-port", rest, "--grpc-port", grpc)
    print(f"$ {shown(*words)} &", flush=True)
    process = subprocess.Popen([COMMAND, *words], preexec_fn=die_with_parent)
    try:
        url = f"http://127.0.0.1:{rest}"
        wait_until_available(f"{url}/v1/models/{NAME}", process)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_available(url: str, process: subprocess.Popen[bytes]) -> None:
    """Returns when a version of the model answers; ends the demo when the server does, or takes too long."""
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if status := process.poll():
            fail(f"stopped, because the server ended with exit status {status}.", status if status > 0 else 1)
        with contextlib.suppress(OSError, urllib.error.URLError, ValueError, KeyError):
            with urllib.request.urlopen(url, timeout=5) as response:
                versions = json.load(response)["model_version_status"]
            if any(version["state"] == "AVAILABLE" for version in versions):
                return
        time.sleep(0.2)
    fail(f"stopped, because the server did not answer at {url} within {SECONDS_TO_START} seconds.")


def curl(url: str) -> None:
    """Prints the request as a `curl` command line, and runs it where there is a curl."""
    body = f'{{"instances": [{{"image": {{"b64": "\'$(base64 < {PICTURE} | tr -d "\\n")\'"}}}}]}}'
    command = f"curl -sS --fail-with-body {url}/v1/models/{NAME}:predict -d '{body}'"
    print(f"$ {command}", flush=True)
    if not shutil.which("curl"):
        print("(there is no curl on this machine)")
        return
    status = subprocess.run(["sh", "-c", command]).returncode
    print()
    if status:
        fail(f"stopped, because curl ended with exit status {status}.", status)


def main() -> None:
    if not COMMAND.exists():
        fail(f"{COMMAND} is missing; run make setup.")
    os.chdir(PROJECT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    started = time.monotonic()

    announce("1 of 4, Fashion-MNIST: 70,000 pictures of clothes in 10 classes")
    tfx_vision("data", "fetch", "fashion-mnist", DATA)
    announce("2 of 4, the pipeline: from the pictures to a blessed model (cached steps are free)")
    tfx_vision("run", CONFIG)
    announce("3 of 4, the server")
    with server() as url:
        announce("4 of 4, what is in a picture it has never seen?")
        tfx_vision("predict", PICTURE, "--url", url, "--model", NAME)
        print("The same from anywhere, without this project:")
        curl(url)

    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    announce(f"done in {minutes} min {seconds:02} s; the server is stopped. From here:")
    for what, words in {
        "the report": ("report", RUN, "--open"),
        "serve it again": ("serve", RUN),
        "train longer": ("run", CONFIG, "--set", "trainer.epochs=12"),
        "your own images": ("init", "FOLDER"),
    }.items():
        print(f"  {what:<16}{shown(*words)}")
    if Path(RUN, "report.html").exists():
        print(f"The report is {PROJECT / RUN / 'report.html'}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        fail("interrupted; make demo continues where it stopped.", 130)
