"""The executor: TFX's search, of which every trial's metrics are kept."""

import os
from typing import Any

from tfx import types
from tfx.components.tuner import executor
from tfx.types import artifact_utils, standard_component_specs

from trainer_module.tuner_config import SWEEP, TRIALS


class Executor(executor.Executor):
    """Searches and writes the best hyperparameters, TFX's `tuner_results.json`, the table of trials and the sweep."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        from trainer_module.tuner import write_sweep, write_table

        tuner = executor.search(input_dict, exec_properties, self._get_tmp_dir(), print_tuning_summary=False)
        executor.write_best_hyperparameters(tuner, output_dict)
        results = artifact_utils.get_single_uri(output_dict[standard_component_specs.TUNER_RESULTS_KEY])
        write_table(tuner, os.path.join(results, TRIALS))
        write_sweep(tuner, os.path.join(results, SWEEP))
