"""Counts and latencies under TensorFlow Serving's own names, so that its dashboards fit."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest

# TensorFlow Serving's buckets in microseconds, to about 20 minutes (servables/tensorflow/util.cc).
_BUCKETS = [10 * 1.8**power for power in range(33)]
_MICROSECONDS = 1e6


class Metrics:
    """What one server has answered since it started."""

    def __init__(self) -> None:
        disable_created_metrics()  # TensorFlow Serving has none
        self._registry = CollectorRegistry()
        self._requests = Counter(
            ":tensorflow:serving:request_count",
            "The total number of requests.",
            ["model_name", "status"],
            registry=self._registry,
        )
        self._latency = self._histogram("request_latency", "request", "entrypoint")
        self._runtime = self._histogram("runtime_latency", "TensorFlow runtime", "runtime")

    @contextmanager
    def request(self, model: str, method: str, entrypoint: str) -> Iterator["Outcome"]:
        """Counts a request and, where it succeeds, its time.

        Args:
          model: the model's name.
          method: such as predict.
          entrypoint: REST or GRPC.
        """
        outcome, started = Outcome(), perf_counter()
        try:
            yield outcome
        finally:
            if outcome.status == "OK":
                self._latency.labels(model, method, entrypoint).observe((perf_counter() - started) * _MICROSECONDS)
            self._requests.labels(model, outcome.status).inc()

    @contextmanager
    def runtime(self, model: str) -> Iterator[None]:
        """The time a request spends in the model, waiting for its batch included."""
        started = perf_counter()
        yield
        self._runtime.labels(model, "Predict", "TF2").observe((perf_counter() - started) * _MICROSECONDS)

    def page(self) -> bytes:
        """Everything in Prometheus' text format."""
        text = generate_latest(self._registry)
        # TensorFlow Serving's counters do not have the suffix that the library insists on.
        return text.replace(b":request_count_total", b":request_count")

    def _histogram(self, name: str, of: str, third: str) -> Histogram:
        return Histogram(
            f":tensorflow:serving:{name}",
            f"Distribution of wall time (in microseconds) for {of}.",
            ["model_name", "API", third],
            buckets=_BUCKETS,
            registry=self._registry,
        )


class Outcome:
    """What became of a request."""

    status = "OK"
    """Name of its gRPC status."""
