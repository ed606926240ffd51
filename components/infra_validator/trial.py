"""The trial: real requests through every signature, and what they are measured by."""

import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from components.evaluator.requests import Request
from components.infra_validator.config import InfraValidatorConfig
from components.infra_validator.server import Server, TrialError, serving

log = logging.getLogger("tfx_vision.InfraValidator")

TOLERANCE = 1e-3
"""Probabilities may differ by this much: other batch sizes and other builds of TensorFlow round differently."""
REPEATS = 25
"""Requests with one image that the latency is measured by."""


@dataclass(kw_only=True)
class Trial:
    """How a model did in a server; `infra.json` in the artifact."""

    misses: list[str] = field(default_factory=list)
    """A sentence for each thing that a model must do to be served and did not."""
    server: str = ""
    """Which one was used."""
    start_seconds: float | None = None
    """From the server's start, imports and warm-up included, to the model's being available."""
    first_ms: float | None = None
    """The first request."""
    latency_ms: dict[str, float] = field(default_factory=dict)
    """p50, p95 and max of requests with one image."""
    batch: int = 0
    """Images in the batch that was tried."""
    batch_ms: float | None = None
    """The batch."""
    memory_mib: float | None = None
    """The most that the server had."""
    signatures: list[str] = field(default_factory=list)
    """Those that were asked."""
    requests: int = 0
    """How many were answered."""
    largest_difference: float = 0.0
    """Between a probability here and in the evaluation."""

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return asdict(self)


def run_trial(
    model_folder: str,
    extra: str,
    model_name: str,
    inputs: Mapping[str, str],
    requests: Sequence[Request],
    config: InfraValidatorConfig,
) -> Trial:
    """Serves a model and asks it.

    Args:
      model_folder: the saved model.
      extra: folder of what is added to its `assets.extra`.
      model_name: the name it is served under.
      inputs: name of the input by signature.
      requests: images and the answers that are expected.
      config: what the model must keep to.
    """
    trial = Trial(signatures=list(inputs))
    with serving(model_folder, extra, model_name, config.max_memory_mib) as server:
        try:
            log.info("starting a server with the model")
            server.wait_until_ready(config.max_start_seconds)
            trial.server, trial.start_seconds = server.kind, round(server.start_seconds, 2)
            for signature, name in inputs.items():
                log.info("asking signature %s", signature)
                ask(server, signature, name == "examples", requests, trial)
            measure(server, requests, trial)
        except TrialError as error:
            trial.misses.append(str(error))
        trial.server, trial.memory_mib = server.kind, round(server.peak_mib, 1)
    slow = trial.latency_ms.get("p50", 0.0)
    if config.max_latency_ms is not None and slow > config.max_latency_ms:
        trial.misses.append(f"a request takes {slow:.1f} ms; {config.max_latency_ms:g} ms are allowed")
    return trial


def ask(server: Server, signature: str, of_examples: bool, requests: Sequence[Request], trial: Trial) -> None:
    """Each request alone and all of them as one batch; the answers must be the evaluation's."""
    sent = [request.example if of_examples else request.image for request in requests]
    answers = []
    for one in sent:
        [answer], seconds = server.predict(signature, [one])
        trial.first_ms = trial.first_ms or round(1000 * seconds, 1)
        answers.append(answer)
    batch, _ = server.predict(signature, sent)
    trial.requests += len(answers) + 1
    for kind, found in (("alone", answers), ("in a batch", batch)):
        difference = max(largest_difference(answer, request) for answer, request in zip(found, requests, strict=True))
        trial.largest_difference = max(trial.largest_difference, difference)
        if difference > TOLERANCE:
            trial.misses.append(
                f"signature {signature}, asked {kind}, answers other probabilities than in the evaluation: "
                f"they differ by up to {difference:.4f}"
            )


def largest_difference(answer: Mapping[str, Any], request: Request) -> float:
    """Between the probabilities of an answer and those of the evaluation, by class."""
    names = answer.get("classes", answer.get("all_classes", []))
    found = dict(zip(names, answer["probabilities"], strict=True))
    if found.keys() != request.probabilities.keys():
        return 1.0
    return max(abs(found[name] - expected) for name, expected in request.probabilities.items())


def measure(server: Server, requests: Sequence[Request], trial: Trial) -> None:
    """Latency of single images, and of the batch."""
    images = [request.image for request in requests]
    seconds = sorted(server.predict("serving_default", [images[i % len(images)]])[1] for i in range(REPEATS))
    trial.latency_ms = {
        "p50": round(1000 * statistics.median(seconds), 2),
        "p95": round(1000 * seconds[int(0.95 * (REPEATS - 1))], 2),
        "max": round(1000 * seconds[-1], 2),
    }
    trial.batch, trial.batch_ms = len(images), round(1000 * server.predict("serving_default", images)[1], 2)
    trial.requests += REPEATS + 1
