"""Floor 2: what stands in front of a pushed model: its versions on disk, the server, and the client.

`publish` puts a model where TensorFlow Serving finds it, `serve` answers requests with it (TensorFlow Serving where
it is installed, else a development server with the same REST and gRPC API), and `predict` asks such a server.
Importing this package is cheap: TensorFlow and the servers load when `serve` runs.
"""

import transform  # noqa: F401  (first: it chooses Keras 2)
from serving.client import Client, Prediction, PredictionError, predict
from serving.config import ServingConfig
from serving.errors import ServingError
from serving.server import serve
from serving.versions import Manifest, PublishError, WithdrawnError, publish, read_manifest, served_version

__all__ = [
    "Client",
    "Manifest",
    "Prediction",
    "PredictionError",
    "PublishError",
    "ServingConfig",
    "ServingError",
    "WithdrawnError",
    "predict",
    "publish",
    "read_manifest",
    "serve",
    "served_version",
]
