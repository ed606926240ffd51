"""`tfx-vision doctor`: what this machine has for the pipeline, and what each missing thing costs.

Nothing heavy is imported: versions are read from the installed packages' metadata.
"""

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

PACKAGES = (
    "tfx",
    "tensorflow",
    "tf-keras",
    "tensorflow-transform",
    "tensorflow-data-validation",
    "tensorflow-model-analysis",
    "apache-beam",
    "ml-metadata",
    "kfp",
)
GIB = 2**30
SECONDS = 1.2
"""The longest that a program or an endpoint may take to answer."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for."""

    topic: str
    """What was looked for."""
    state: str
    """What was found."""
    cost: str = ""
    """What it costs the user that it is missing or scarce; "" when all is well."""
    needed: bool = False
    """Nothing works without it."""


def examine() -> list[Finding]:
    """Everything that was looked for, in the order to show it; what is slow to answer is asked at once."""
    slow: list[Callable[[], Finding]] = [runtime, accelerators, tensorflow_serving, container_engine, kubeflow]
    with ThreadPoolExecutor(len(slow)) as pool:
        answers = [pool.submit(check) for check in slow]
        quick = [python(), *map(package, PACKAGES)]
        measured = [cores(), memory(), disk()]
        first, *rest = (answer.result() for answer in answers)
    return [*quick, first, *measured, *rest]


def python() -> Finding:
    """The interpreter."""
    cost = "" if (3, 11) <= sys.version_info < (3, 14) else "TFX 1.21 runs on Python 3.11 to 3.13; run make setup again"
    return Finding("Python", f"{platform.python_version()} in {sys.prefix}", cost, needed=True)


def package(name: str) -> Finding:
    """The version of an installed package."""
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "not installed", "the pipeline does not run; run make setup", needed=True)


def runtime() -> Finding:
    """The C library this process runs on: the host's, or the private one of the environment."""
    version = (os.confstr("CS_GNU_LIBC_VERSION") or "an unknown C library") if hasattr(os, "confstr") else "unknown"
    private = Path(sys.prefix) / "c-runtime"
    if str(private) not in loaded_libraries():
        return Finding("C runtime", f"{version} of this system")
    host = output("getconf", "GNU_LIBC_VERSION") or "an older one"
    return Finding("C runtime", f"{version}, private to the environment in {private}; the system has {host}")


def loaded_libraries() -> str:
    """The memory map of this process, which names every library that is loaded."""
    try:
        return Path("/proc/self/maps").read_text()
    except OSError:
        return ""


def cores() -> Finding:
    """Processor cores this process may use."""
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        limit = None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        limit = None
    if limit and limit < count:
        return Finding("Cores", f"{limit:g} (limit of the container, of {count})")
    return Finding("Cores", str(count))


def memory() -> Finding:
    """Main memory, within the limit of a container."""
    try:
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(fields[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return Finding("Memory", "unknown")
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        total, free = min(total, limit), min(free, limit - used)
    except (OSError, ValueError):
        pass
    cost = "a data step takes up to 2 GiB and training its images besides; close something" if free < 3 * GIB else ""
    return Finding("Memory", f"{total / GIB:.1f} GiB, {free / GIB:.1f} GiB free", cost)


def disk() -> Finding:
    """Room where the runs are written."""
    free = shutil.disk_usage(Path.cwd()).free
    cost = "a run may fail half-way; make room, or choose another `root`" if free < 2 * GIB else ""
    return Finding("Disk", f"{free / GIB:.1f} GiB free in {Path.cwd()}", cost)


def accelerators() -> Finding:
    """GPUs by their driver's tool, or by their device files."""
    listed = output("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    if listed:
        return Finding("Accelerators", "; ".join(line.strip() for line in listed.splitlines()))
    devices = [path.name for pattern in ("nvidia[0-9]*", "accel[0-9]*") for path in sorted(Path("/dev").glob(pattern))]
    if devices:
        return Finding(
            "Accelerators", f"{', '.join(devices)}, but nvidia-smi does not answer", "check the driver before training"
        )
    return Finding("Accelerators", "none", "training runs on the cores: fine for small images, slow from 128 pixels on")


def tensorflow_serving() -> Finding:
    """TensorFlow Serving's binary."""
    if path := shutil.which("tensorflow_model_server"):
        return Finding("TensorFlow Serving", path)
    return Finding(
        "TensorFlow Serving",
        "tensorflow_model_server not found",
        "tfx-vision serve starts its development server: the same API, not made for load",
    )


def container_engine() -> Finding:
    """A docker or podman that answers."""
    cost = "no image for Kubeflow can be built on this machine; local runs need none"
    found = [name for name in ("docker", "podman") if shutil.which(name)]
    for name in found:
        if version := output(name, "version", "--format", "{{.Server.Version}}"):
            return Finding("Container engine", f"{name} {version}")
    return Finding("Container engine", f"{found[0]} does not answer" if found else "neither docker nor podman", cost)


def kubeflow() -> Finding:
    """The Kubeflow Pipelines endpoint, found the way the KFP SDK finds it, and whether it takes connections."""
    endpoint = os.environ.get("KF_PIPELINES_ENDPOINT", "")
    if not endpoint:
        kubeconfig = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube/config")
        if kubeconfig.is_file():
            return Finding("Kubeflow", f"through the cluster of {kubeconfig}; it was not asked")
        return Finding(
            "Kubeflow",
            "no endpoint: KF_PIPELINES_ENDPOINT is not set, and there is no kubeconfig",
            "pipelines can be compiled for Kubeflow but not started there; local runs need none",
        )
    url = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    try:
        port = url.port or (80 if url.scheme == "http" else 443)
        socket.create_connection((url.hostname or "", port), timeout=SECONDS).close()
    except (OSError, ValueError) as error:
        state = f"{endpoint} does not answer: {getattr(error, 'strerror', None) or error}"
        return Finding(
            "Kubeflow", state, "no pipeline can be started there; check KF_PIPELINES_ENDPOINT and the network"
        )
    return Finding("Kubeflow", endpoint)


def output(*command: str) -> str:
    """What a program prints; "" when it is missing, fails or takes too long."""
    try:
        process = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""


def show(findings: list[Finding]) -> None:
    """Prints the findings, a line each, and under each what it costs."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for finding in findings:
        style = "red" if finding.cost and finding.needed else "yellow" if finding.cost else "green"
        mark = {"red": "✗", "yellow": "!", "green": "✓"}[style]
        state = Text(finding.state)
        if finding.cost:
            state.append(f"\n{finding.cost}", style="dim" if style == "yellow" else "red")
        table.add_row(Text(mark, style=style), Text(finding.topic), state)
    Console(highlight=False).print(table)
