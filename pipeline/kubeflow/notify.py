"""What the exit handler's container runs: tells a webhook how the run ended."""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any

from pipeline.kubeflow.environment import RUN_ID

TIMEOUT_SECONDS = 30
COMPLETE = "COMPLETE"
"""Kubeflow's state of a DAG whose tasks all ended well. One whose pod was killed is left as RUNNING, not as FAILED."""


def main(argv: list[str] | None = None) -> None:
    """Sends one message. Exits with an error when it is not taken, so that Kubeflow tries again."""
    parser = argparse.ArgumentParser()
    for option in ("--webhook", "--pipeline", "--status"):
        parser.add_argument(option, required=True)
    options = parser.parse_args(argv)
    sent = message(options.pipeline, os.environ.get(RUN_ID, ""), json.loads(options.status))
    try:
        post(address(options.webhook), sent)
    except (OSError, ValueError) as error:  # urllib's errors are OSErrors
        sys.exit(f"the webhook was not told that {sent['text']}: {error}")
    print(sent["text"])


def address(webhook: str) -> str:
    """The webhook itself, or what the environment variable holds that it names.

    Raises:
      ValueError: there is no such variable.
    """
    if not webhook.startswith("$"):
        return webhook
    if not os.environ.get(webhook[1:]):
        raise ValueError(f"the environment variable {webhook[1:]} is not set; kubeflow.secrets can set it")
    return os.environ[webhook[1:]]


def message(pipeline: str, run: str, status: dict[str, Any]) -> dict[str, Any]:
    """What is sent; chat services show `text`."""
    succeeded = status.get("state") == COMPLETE
    return {
        "pipeline": pipeline,
        "run": run,
        "succeeded": succeeded,
        "state": status.get("state", "UNKNOWN"),
        "text": f"{pipeline}: run {run} {'succeeded' if succeeded else 'failed'}",
    }


def post(url: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", "User-Agent": "tfx-vision"}
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
        pass


if __name__ == "__main__":
    main()
