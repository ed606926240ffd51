"""A development server in a process of its own."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parents[2]
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONPATH": str(SOURCE)}
SERVE = """
import json, sys
from serving import ServingConfig, ServingError, serve
try:
    serve(sys.argv[1], ServingConfig(**json.loads(sys.argv[2])), model_name="traffic")
    print("finished")
except ServingError as error:
    sys.exit(f"error: {error}")
"""


@dataclass(frozen=True)
class Server:
    """A running development server."""

    rest: str
    """Such as http://127.0.0.1:40001."""
    grpc: str
    """Such as 127.0.0.1:40002."""
    destination: Path | str
    """What it serves."""
    process: subprocess.Popen[str]


def run_python(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    """A Python process with the project on its path and more environment; its output and errors are pipes."""
    pipe = subprocess.PIPE
    environment = {**os.environ, **ENVIRONMENT, **variables}
    return subprocess.Popen([sys.executable, *arguments], env=environment, text=True, stdout=pipe, stderr=pipe)


def start(destination: Path | str, settings: str = '{"rest_port": 0, "grpc_port": 0}') -> Server:
    """Starts a server of the model `traffic` and waits until it is ready."""
    process = run_python("-c", SERVE, str(destination), settings)
    assert process.stdout
    line = process.stdout.readline()
    match = re.search(r"(http://\S+)/v1/models/traffic:predict, gRPC at (\S+),", line)
    assert match, f"{line}{process.communicate()}"
    return Server(match[1], match[2], destination, process)
