"""The file for `tfx pipeline create --engine=kubeflow --pipeline_path=kfp/kubeflow_runner.py`.

The `tfx` command passes no arguments on, so the configuration's path is taken from the environment variable
TFX_VISION_CONFIG, by default configs/digits.yaml.
"""

import os

from pipeline.config import load_any_config
from pipeline.kubeflow.check import check
from pipeline.kubeflow.compile import KubeflowRunner, build_graph

if __name__ == "__main__":
    config = load_any_config(os.environ.get("TFX_VISION_CONFIG", "configs/digits.yaml"))
    check(config, "kubeflow")
    KubeflowRunner(config).run(build_graph(config))
