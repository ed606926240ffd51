"""Pushes that are killed at random moments, and what must hold at the destination afterwards.

Usage: kills.py DESTINATION MODEL KILLS SEED
Forks a child per push, kills it after a random part of a push's time, and checks after each kill. A child is forked,
not started, so that a kill costs milliseconds.
"""

import contextlib
import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from serving import versions
from serving.destination import is_remote
from serving.versions import publish


def push(model: Path, destination: str, identity: str) -> versions.Manifest:
    return publish(model, destination, model=identity, champion=None, pipeline="p", run=identity, metrics={})


def killed_push(model: Path, destination: str, identity: str, after: float) -> None:
    """A push in a process of its own, killed after so many seconds unless it is done by then."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            push(model, destination, identity)
            status = 0
        finally:
            os._exit(status)
    time.sleep(after)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def check(destination: str, numbers: dict[int, str], scratch: Path) -> None:
    """Every complete version is whole, is its model's only one, and has a number that no other model ever had."""
    models: dict[str, int] = {}
    for number in versions.versions(destination):
        manifest = versions.read_manifest(destination, number)
        assert manifest and manifest.version == number, f"version {number} has no manifest"
        assert manifest.model not in models, f"{manifest.model} is version {models[manifest.model]} and {number}"
        models[manifest.model] = number
        if number in numbers:
            assert numbers[number] == manifest.model, f"number {number} was used twice"
            continue
        numbers[number] = manifest.model
        folder = versions.fetch_version(destination, number, scratch / str(number))
        found = {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "manifest.json"
        }
        assert found == manifest.files, f"version {number} is not what its manifest says"


def main(destination: str, model: Path, kills: int, seed: int) -> dict[str, int]:
    """Returns how many kills came before the version was there and how many after."""
    chance, numbers, scratch = random.Random(seed), {}, model.parent / "scratch"
    timings = []
    for index in range(3):
        started = time.monotonic()
        push(model, destination, f"warm-{index}")
        timings.append(time.monotonic() - started)
    whole, before = min(timings), 0
    for index in range(kills):
        identity = f"model-{index // 3}"  # a model is tried up to three times, as a retry would
        killed_push(model, destination, identity, chance.uniform(0, 2 * whole))
        check(destination, numbers, scratch)
        before += identity not in numbers.values()
    last = push(model, destination, "last")
    check(destination, numbers, scratch)
    assert last.version == max(numbers), "the last push is the one that is served"
    if not is_remote(destination):
        assert not list(Path(destination).glob(".staging*")), "the next push cleans up"
    return {"kills": kills, "before": before, "after": kills - before, "versions": len(numbers), "last": last.version}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))))
