"""Executors for the tests of the entrypoint."""

import json
import os
import sys
import time
from pathlib import Path

from tfx.dsl.components.base import base_executor


class Recording(base_executor.BaseExecutor):
    """Writes what it was given into its output, and properties of several kinds onto it."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:
        [schema], [model] = input_dict["schema"], output_dict["model"]
        seen = {
            "properties": exec_properties,
            "input": Path(schema.uri, "schema.txt").read_text(),
            "input folder": schema.uri,
            "input version": schema.get_int_custom_property("version"),
            "run": self._context.pipeline_run_id,
            "modules": [
                name for name in ("tensorflow", "apache_beam", "kubernetes", "keras_tuner") if name in sys.modules
            ],
        }
        Path(model.uri, "seen.json").write_text(json.dumps(seen))
        model.set_string_custom_property("source", f"{schema.uri}/schema.txt")
        model.set_int_custom_property("number", 3)
        model.set_json_value_custom_property("nothing", None)


class Waiting(base_executor.BaseExecutor):
    """Waits to be stopped, and says that it cleaned up."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:
        try:
            Path(os.environ["STARTED"]).touch()
            time.sleep(120)
        finally:
            Path(os.environ["CLEANED_UP"]).touch()


class Training(base_executor.BaseExecutor):
    """One of several workers: the first writes the model. `config` tells which of them fails, or that all wait."""

    def Do(self, input_dict, output_dict, exec_properties) -> None:
        tf_config = json.loads(os.environ["TF_CONFIG"])
        [schema], [model], index = input_dict["schema"], output_dict["model"], tf_config["task"]["index"]
        print(f"worker {index} of {len(tf_config['cluster']['worker'])} trains", flush=True)
        if exec_properties["config"] == f"fail {index}":
            raise ValueError("64 images cannot be shared equally by 3 replicas")
        if exec_properties["config"] != "train":
            Path(model.uri).parents[1].joinpath(f"checkpoint {index}").touch()
            time.sleep(120)
        if index == 0:
            Path(model.uri, "model.txt").write_text(Path(schema.uri, "schema.txt").read_text() + " trained")
            model.set_string_custom_property("source", f"{schema.uri}/schema.txt")
