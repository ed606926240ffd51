"""Batch inference as a pipeline of its own: a folder of images → the answers of the model that is being served.

`tfx-vision infer CONFIG` runs it. For a table instead of artifacts there is `tfx-vision predict DIR --output FILE`.
"""

from pathlib import Path

from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import bulk_inferrer_pb2

from components.bulk_inferrer.component import BulkInferrer
from components.champion.component import Champion
from components.image_folder_gen.component import SPLIT, ImageFolderGen
from pipeline.config import InferenceConfig


def create_inference_pipeline(config: InferenceConfig, cluster_root: str | None = None) -> Pipeline:
    """ImageFolderGen, Champion and BulkInferrer.

    Args:
      config: the batch inference.
      cluster_root: for Kubeflow, which keeps the metadata itself: where artifacts go, "" for its own setting; None for
        a run on this machine.

    The BulkInferrer's output `inference_result` holds a PredictionLog for each image: the request with the example,
    and the outputs of the signature `examples`.
    """
    local = cluster_root is None
    images = ImageFolderGen(str(Path(config.images).absolute()) if local else config.images)
    champion = Champion(None, config.destination)
    inferrer = BulkInferrer(
        images.outputs["examples"],
        model=champion.outputs["champion"],
        data_spec=bulk_inferrer_pb2.DataSpec(example_splits=[SPLIT]),
        model_spec=bulk_inferrer_pb2.ModelSpec(model_signature_name=["examples"], tag=["serve"]),
    )
    return Pipeline(
        pipeline_name=config.name,
        pipeline_root=str(config.folder / "artifacts") if cluster_root is None else cluster_root,
        components=[images, champion, inferrer],
        enable_cache=True,
        metadata_connection_config=(
            sqlite_metadata_connection_config(str(config.folder / "metadata.db")) if local else None
        ),
        beam_pipeline_args=config.beam.arguments,
    )
