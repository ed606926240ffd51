"""TensorFlow Serving's own configuration files, as protobuf text: models, batching, monitoring."""

import json
import math
from collections.abc import Iterable, Mapping

from serving.config import ServingConfig

METRICS_PATH = "/monitoring/prometheus/metrics"


def models(
    name: str, base_path: str, *, latest: int, labels: Mapping[str, int] | None = None, beside: Iterable[int] = ()
) -> str:
    """`--model_config_file`: one model, its versions and labels.

    Args:
      name: the model's name in requests.
      base_path: where its versions are.
      latest: how many of the highest versions are served where no label says which.
      labels: the versions that labels stand for. Then these are served, and no others, so that a label never
        stands for a version that a push has displaced.
      beside: further versions, such as the one that a label is about to leave.
    """
    if labels:
        versions = sorted({*labels.values(), *beside})
        policy = f"specific {{ {' '.join(f'versions: {version}' for version in versions)} }}"
    else:
        policy = f"latest {{ num_versions: {latest} }}"
    lines = [
        f"name: {json.dumps(name)}",
        f"base_path: {json.dumps(base_path)}",
        'model_platform: "tensorflow"',
        f"model_version_policy {{ {policy} }}",
        *(f"version_labels {{ key: {json.dumps(label)} value: {number} }}" for label, number in (labels or {}).items()),
    ]
    return "model_config_list {\n  config {\n" + "".join(f"    {line}\n" for line in lines) + "  }\n}\n"


def batching(config: ServingConfig) -> str:
    """`--batching_parameters_file`.

    On CPUs a batch takes what waits and waits for nothing, as many batches at once as there are cores: there is little
    to win from larger batches. A GPU wins a lot, so a batch waits up to 2 ms to fill; its sizes are few, since each
    makes TensorFlow plan anew. (TensorFlow Serving's batching guide, "Performance tuning".)
    """
    size, cluster = config.batching.max_batch_size, config.cluster
    cores = math.ceil(float(cluster.cpu_limit.removesuffix("m")) / (1000 if cluster.cpu_limit.endswith("m") else 1))
    values = {
        "max_batch_size": size,
        "batch_timeout_micros": 2000 if cluster.accelerators else 0,
        "max_enqueued_batches": 100,
        "num_batch_threads": max(2 * cluster.accelerators, cores),
    }
    text = "".join(f"{key} {{ value: {value} }}\n" for key, value in values.items())
    if cluster.accelerators:
        sizes = sorted({size, *(2**power for power in range(size.bit_length()) if 2**power < size)})
        text += "".join(f"allowed_batch_sizes: {allowed}\n" for allowed in sizes)
    return text


def monitoring() -> str:
    """`--monitoring_config_file`: metrics for Prometheus."""
    return f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'
