"""What the REST and the gRPC API have in common: from a request's tensors to its answer's."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.batching import Arrays, Batcher
from serving.metrics import Metrics
from serving.models import LoadedVersion
from serving.request_log import RequestLog
from serving.served import ServedModel


@dataclass(frozen=True)
class Backend:
    """One served model."""

    model: ServedModel
    batcher: Batcher
    metrics: Metrics
    log: RequestLog

    def run(self, loaded: LoadedVersion, signature: str, inputs: Arrays, outputs: Sequence[str] = ()) -> Arrays:
        """Runs a signature; measures it, and logs it if chance will have it.

        Raises:
          RequestError: the inputs do not fit the signature, or the model refuses them.
        """
        with self.metrics.runtime(self.model.name):
            results = self.batcher.run(loaded, signature, inputs, outputs)
        self.log.offer(self.model.name, loaded.number, signature, inputs, results)
        return results
