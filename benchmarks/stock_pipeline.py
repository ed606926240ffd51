"""The peer: the pipeline a user would write today from TFX's own parts, on the same images.

Usage: stock_pipeline.py TFRECORD_FOLDER WORK_FOLDER SIZE STEPS
Prints a JSON object: seconds by component, of the imports, and the test accuracy.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"


def main() -> None:
    started = time.monotonic()
    import tensorflow_model_analysis as tfma
    from tfx import v1 as tfx
    from tfx.orchestration.portable import launcher

    seconds = {"import": time.monotonic() - started}
    records, work, size, steps = sys.argv[1:]
    os.environ["STOCK_SIZE"] = size
    components, proto = tfx.components, tfx.proto
    module = str(Path(__file__).with_name("stock_module.py"))
    split = proto.SplitConfig.Split
    buckets = [split(name=name, hash_buckets=count) for name, count in (("train", 8), ("eval", 1), ("test", 1))]
    example_gen = components.ImportExampleGen(
        input_base=records, output_config=proto.Output(split_config=proto.SplitConfig(splits=buckets))
    )
    statistics_gen = components.StatisticsGen(examples=example_gen.outputs["examples"])
    schema_gen = components.SchemaGen(statistics=statistics_gen.outputs["statistics"], infer_feature_shape=True)
    validator = components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema_gen.outputs["schema"]
    )
    transform = components.Transform(
        examples=example_gen.outputs["examples"], schema=schema_gen.outputs["schema"], module_file=module
    )
    trainer = components.Trainer(
        module_file=module,
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema_gen.outputs["schema"],
        train_args=proto.TrainArgs(num_steps=int(steps)),
        eval_args=proto.EvalArgs(num_steps=15),
    )
    accuracy = tfma.MetricConfig(
        class_name="SparseCategoricalAccuracy",
        threshold=tfma.MetricThreshold(value_threshold=tfma.GenericValueThreshold(lower_bound={"value": 0.5})),
    )
    evaluator = components.Evaluator(
        examples=example_gen.outputs["examples"],
        model=trainer.outputs["model"],
        example_splits=["test"],
        eval_config=tfma.EvalConfig(
            model_specs=[
                tfma.ModelSpec(
                    signature_name="serving_default",
                    preprocessing_function_names=["transform_features"],
                    label_key="label_xf",
                    prediction_key="probabilities",
                )
            ],
            slicing_specs=[tfma.SlicingSpec(), tfma.SlicingSpec(feature_keys=["label"])],
            metrics_specs=[tfma.MetricsSpec(metrics=[accuracy, tfma.MetricConfig(class_name="ExampleCount")])],
        ),
    )
    pusher = components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=proto.PushDestination(
            filesystem=proto.PushDestination.Filesystem(base_directory=f"{work}/serving")
        ),
    )
    pipeline = tfx.dsl.Pipeline(
        pipeline_name="stock",
        pipeline_root=f"{work}/root",
        components=[example_gen, statistics_gen, schema_gen, validator, transform, trainer, evaluator, pusher],
        enable_cache=True,
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(f"{work}/metadata.db"),
        beam_pipeline_args=["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"],
    )
    launch = launcher.Launcher.launch

    def timed(self: launcher.Launcher) -> object:
        before = time.monotonic()
        result = launch(self)
        seconds[self._pipeline_node.node_info.id] = time.monotonic() - before
        return result

    launcher.Launcher.launch = timed
    before = time.monotonic()
    tfx.orchestration.LocalDagRunner().run(pipeline)
    seconds["run"] = time.monotonic() - before
    [evaluation] = Path(work, "root", "Evaluator", "evaluation").iterdir()
    metrics = tfma.load_eval_result(str(evaluation)).get_metrics_for_slice()
    print(json.dumps({"seconds": seconds, "accuracy": metrics["sparse_categorical_accuracy"]["doubleValue"]}))


if __name__ == "__main__":
    main()
