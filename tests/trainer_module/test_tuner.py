"""The search: what it draws, what it measures, and that nothing is lost when it is killed."""

import json

import pytest

from trainer_module import trials, tuner
from trainer_module.config import TrainerConfig
from trainer_module.model_config import ModelConfig
from trainer_module.settings import TrainingSettings
from trainer_module.tuner_config import Range, TunerConfig
from transform.config import TransformConfig

SETTINGS = TrainingSettings(
    transform=TransformConfig(height=6, width=5, channels=1),
    model=ModelConfig(filters=[4], hidden_units=0, dropout=0),
    trainer=TrainerConfig(batch_size=10, epochs=50, patience=3),
)
RATES = {"trainer": {"learning_rate": {"low": 1e-4, "high": 1e-1, "scale": "log"}}}


def config(**changes) -> TunerConfig:
    return TunerConfig(**{"trials": 3, "epochs": 1, "search": RATES, "parallel_trials": 1} | changes)


def search(split, folder, journal="journal", **changes) -> tuner.ImageTuner:
    """A finished search."""
    chosen = config(**changes)
    searching = tuner.ImageTuner(
        chosen, SETTINGS, trials.Journal(str(folder / journal), {"data": 1}), directory=str(folder / "working")
    )
    searching.search(train=split, evaluation=split)
    return searching


def rows(searching: tuner.ImageTuner) -> list:
    """The table without what depends on the clock."""
    return [
        (row["epochs"], row["values"], row["metrics"] | {"seconds": 0, "rate_of_change": 0}) for row in searching.table
    ]


@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_a_range_is_drawn_from_and_every_trial_is_measured(split, tmp_path, algorithm):
    searching = search(split, tmp_path, algorithm=algorithm)
    rates = [row["values"]["trainer.learning_rate"] for row in searching.table]
    assert len(set(rates)) == 3 and all(1e-4 <= rate <= 1e-1 for rate in rates)
    for row in searching.table:
        assert {"val_accuracy", "val_precision", "val_recall", "val_f1", "val_loss"} <= row["metrics"].keys()
        assert 0 <= row["metrics"]["val_f1"] <= 1
    tuner.write_table(searching, str(tmp_path / "trials.json"))
    table = json.loads((tmp_path / "trials.json").read_text())
    accuracies = [row["metrics"]["val_accuracy"] for row in table]
    assert accuracies == sorted(accuracies, reverse=True)
    assert table[0]["metrics"]["rate_of_change"] is None, "of a single epoch"
    best = searching.get_best_hyperparameters()[0].values
    assert max(accuracies) == next(row["metrics"]["val_accuracy"] for row in searching.table if row["values"] == best)


def test_a_killed_search_goes_on_where_it_was(split, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    whole = rows(search(split, tmp_path, "another"))
    original, count = trials.short_training, [0]

    def killed(*args, **options):
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        return original(*args, **options)

    monkeypatch.setattr(tuner.trials, "short_training", killed)
    with pytest.raises(KeyboardInterrupt):
        search(split, tmp_path)
    resumed = rows(search(split, tmp_path))
    assert count[0] == 4, "the two finished trials are not trained again"
    assert sum("remembered" in record.getMessage() for record in caplog.records) == 2
    assert resumed == whole


def test_other_settings_or_data_are_other_trials(tmp_path):
    journal = trials.Journal(str(tmp_path), {"data": 1})
    journal.add({"a": 1}, {"val_accuracy": 0.5})
    assert journal.find({"a": 1}) == {"val_accuracy": 0.5}
    assert journal.find({"a": 2}) is None
    assert trials.Journal(str(tmp_path), {"data": 2}).find({"a": 1}) is None


def test_hyperband_trains_the_best_further_from_their_weights(split, tmp_path, monkeypatch):
    started = []
    original = trials.short_training

    def watched(*args, start, epochs, **options):
        started.append((start[1] if start else 0, epochs))
        return original(*args, start=start, epochs=epochs, **options)

    monkeypatch.setattr(tuner.trials, "short_training", watched)
    searching = search(split, tmp_path, algorithm="hyperband", epochs=3, trials=4)
    assert (0, 1) in started and (1, 3) in started
    assert set(searching.get_best_hyperparameters()[0].values) == {"trainer.learning_rate"}


def test_a_grid_takes_every_combination_of_its_steps(split, tmp_path):
    spaced = {"trainer": {"learning_rate": {"low": 0.001, "high": 0.1, "scale": "log", "steps": 3}}}
    searching = search(split, tmp_path, algorithm="grid", search=spaced, trials=10)
    assert [row["values"]["trainer.learning_rate"] for row in searching.table] == pytest.approx([0.001, 0.01, 0.1])


def test_points_of_a_grid():
    assert tuner.grid_points(Range(low=1, high=16, scale="log", steps=5), whole=True) == [1, 2, 4, 8, 16]
    assert tuner.grid_points(Range(low=0, high=1, steps=3), whole=False) == [0, 0.5, 1]


def test_folds_train_on_the_rest_and_measure_on_each_image_once(split, tmp_path, monkeypatch):
    held = []
    original = trials.measure

    def watched(model, evaluation):
        held.append(sorted(int(number) for pixels, _ in evaluation for number in pixels[:, 0, 0, 0]))
        return original(model, evaluation)

    monkeypatch.setattr(trials, "measure", watched)
    searching = search(split, tmp_path, folds=3, trials=1)
    assert sorted(sum(held, [])) == list(range(50)) and len(held) == 3  # noqa: RUF017
    assert 0 <= searching.table[0]["metrics"]["val_accuracy"] <= 1


def test_the_search_ends_when_its_time_is_up(split, tmp_path):
    assert len(search(split, tmp_path, trials=50, minutes=1e-6).table) == 1


def test_a_trial_that_cannot_be_trained_is_told_and_the_others_go_on(split, tmp_path, caplog):
    pools = {"model": {"filters": [1, 2]}}
    with pytest.raises(ValueError, match=r"model\.filters: 1 is refused"):
        config(search=pools)
    chosen = {"model": {"architecture": ["convnet", "no_such_module.network"]}}
    searching = search(split, tmp_path, algorithm="grid", search=chosen, trials=2)
    assert len(searching.table) == 1
    assert "trial 2 failed: model.architecture no_such_module.network cannot be imported" in caplog.text


def test_trials_use_the_settings_of_the_training_and_their_own_length():
    chosen = trials.trial_settings(SETTINGS, config(), {"trainer.learning_rate": 0.5}, epochs=2)
    trainer = chosen.trainer
    assert (trainer.epochs, trainer.patience, trainer.schedule) == (2, 0, "constant")
    assert (trainer.learning_rate, trainer.batch_size, chosen.model) == (0.5, 10, SETTINGS.model)


def test_finished_trials_are_kept_where_the_next_execution_finds_them():
    first = tuner.journal_folder("/runs/digits/artifacts/Tuner/.system/executor_execution/7/.temp")
    second = tuner.journal_folder("/runs/digits/artifacts/Tuner/.system/executor_execution/8/.temp")
    assert first == second == "/runs/digits/artifacts/Tuner/.system/trials"


def test_trials_side_by_side_come_to_what_they_come_to_one_by_one(split, tmp_path):
    one = search(split, tmp_path, "one", trials=3)
    two = search(split, tmp_path, "two", trials=3, parallel_trials=2)
    assert [row["values"] for row in two.table] == [row["values"] for row in one.table]
    for alone, beside in zip(one.table, two.table, strict=True):
        assert beside["metrics"]["val_loss"] == pytest.approx(alone["metrics"]["val_loss"], abs=1e-5)
    remembered = search(split, tmp_path, "two", trials=3, parallel_trials=2)
    assert rows(remembered) == rows(two)
