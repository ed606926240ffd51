"""One worker of a training, as a process: worker.py SPLIT FOLDER. TF_CONFIG says which; without it, it is alone."""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from tests.trainer_module.conftest import CLASSES, TRANSFORM
from trainer_module import compilation, data, parameter_server, strategies, trainer
from trainer_module.config import TrainerConfig
from trainer_module.fitting import fit
from trainer_module.model_config import ModelConfig
from trainer_module.settings import TrainingSettings

SETTINGS = TrainingSettings(
    transform=TRANSFORM,
    # Without what depends on the share of a batch that a worker has: dropout and batch normalization.
    model=ModelConfig(filters=[4], hidden_units=8, dropout=0, batch_normalization=False),
    trainer=TrainerConfig(epochs=3, batch_size=10, learning_rate=0.01),
)


def main(pattern: str, folder: Path) -> None:
    if parameter_server.serves("auto"):
        parameter_server.serve()
        return
    trainer.make_reproducible(1)
    strategy = strategies.build_strategy("auto")
    split = data.open_split([pattern], TRANSFORM, CLASSES)
    with strategy.scope():
        model = compilation.compiled_model(SETTINGS, split)
    with strategies.written_by_chief(strategy, str(folder)) as [target]:
        outcome = fit(model, SETTINGS, split, split, folder=str(folder / "checkpoints"), log_dir=target)
        os.makedirs(target, exist_ok=True)
        if strategies.is_chief(strategy):
            time.sleep(2)  # a slow disk
        np.savez(Path(target) / "weights.npz", *model.get_weights())
        trainer.write_json(target, "history.json", outcome.history)
    strategies.wait_for_chief(strategy)
    facts = {"chief": strategies.is_chief(strategy), "replicas": strategy.num_replicas_in_sync}
    print(json.dumps(facts | {"written": (folder / "weights.npz").exists()}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
