"""Weights from a file, what is trained when, and first weights."""

import dataclasses
import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

from trainer_module import initialization, transfer
from trainer_module.compilation import compiled_model, make_reproducible
from trainer_module.config import TrainerConfig
from trainer_module.diagnostics import Evidence, diagnose
from trainer_module.fitting import fit
from trainer_module.model_config import ModelConfig
from trainer_module.settings import TrainingSettings
from trainer_module.transfer_config import TransferConfig
from transform.config import TransformConfig

NETWORK = ModelConfig(filters=[4, 6], hidden_units=0, dropout=0)


@pytest.fixture
def source(split, tmp_path) -> str:
    """The saved backbone of a network with other random weights."""
    tf.keras.utils.set_random_seed(99)
    transfer.save_backbone(compiled_model(settings(), split), str(tmp_path))
    return str(tmp_path / transfer.WEIGHTS)


def settings(**config) -> TrainingSettings:
    trainer = TrainerConfig(epochs=4, batch_size=10, learning_rate=0.01, patience=0)
    return TrainingSettings(
        transform=TransformConfig(height=6, width=5, channels=1),
        model=NETWORK,
        transfer=TransferConfig(**config),
        trainer=trainer,
    )


def backbone_weights(model: tf.keras.Model) -> list[np.ndarray]:
    return model.get_layer("backbone").get_weights()


def test_weights_of_one_run_are_used_by_another(split, source):
    sha256 = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    model = compiled_model(settings(weights=source, sha256=sha256), split)
    with h5py.File(source) as file:
        kernel = np.asarray(file["group1a/group1a/kernel:0"])
    assert (backbone_weights(model)[0] == kernel).all()


def test_a_whole_model_file_and_names_that_keras_made_up_will_do(split, tmp_path):
    """As in a file that holds another network's head and optimizer too."""
    names = {"group1a": "conv2d_17", "group2a": "conv2d_18"}
    tf.keras.utils.set_random_seed(99)
    original = compiled_model(settings(), split)
    renamed = original.get_layer("backbone")
    values = backbone_weights(original)
    for layer in renamed.layers:
        layer._name = names.get(layer.name, layer.name)
        for weight in layer.weights:
            weight._handle_name = weight.name.replace(weight.name.split("/")[0], layer.name)
    renamed.save_weights(str(tmp_path / "renamed.h5"))
    with h5py.File(tmp_path / "renamed.h5", "a") as file:
        file.create_group("optimizer_weights")
    model = compiled_model(settings(weights=str(tmp_path / "renamed.h5")), split)
    assert all((one == two).all() for one, two in zip(backbone_weights(model), values, strict=True))


def test_a_file_with_another_sha256_is_refused(split, source):
    with pytest.raises(ValueError, match=r"has the SHA-256 [0-9a-f]{64}, not 0000"):
        compiled_model(settings(weights=source, sha256="0" * 64), split)


def test_another_file_under_the_same_name_is_another_training(tmp_path):
    path = tmp_path / "weights.h5"
    found = []
    for content in (b"one", b"two"):
        path.write_bytes(content)
        found.append(TransferConfig(weights=str(path)).pinned())
        assert found[-1].sha256 == hashlib.sha256(content).hexdigest()
    assert found[0] != found[1]
    assert TransferConfig(weights="imagenet").pinned().sha256 is None
    searched = TrainingSettings(transfer=found[0]).with_values({"transfer.weights": "other.h5"})
    assert searched.transfer.sha256 is None, "a search over files has the SHA-256 of none of them"


def test_weights_of_another_network_are_refused_by_name(split, source):
    other = settings(weights=source).with_values({"model.filters": [4, 6, 8]})
    wide = TransformConfig(height=8, width=8, channels=1)
    with pytest.raises(ValueError, match=r"does not hold the weights of convnet: 10 arrays for 15 weights.*group3a"):
        compiled_model(other, dataclasses.replace(split, transform=wide))


@pytest.mark.parametrize("content", [None, b"no HDF5"])
def test_a_file_that_cannot_be_read_is_told(split, tmp_path, content):
    path = tmp_path / "weights.h5"
    if content:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"transfer\.weights .* cannot be read"):
        compiled_model(settings(weights=str(path)), split)


def test_settings_that_contradict_each_other_are_refused():
    for contradiction in ({"sha256": "0" * 64}, {"weights": "a.h5", "initializations": 2}, {"twin_epochs": 3}):
        with pytest.raises(ValueError, match="set weights"):
            TransferConfig(**contradiction)


def trained(split, folder, **config) -> tuple[tf.keras.Model, list[np.ndarray], list[np.ndarray]]:
    """The model, and its backbone's weights before and after."""
    make_reproducible(1)
    chosen = settings(**config)
    model = compiled_model(chosen, split)
    before = backbone_weights(model)
    fit(model, chosen, split, split, folder=str(folder / "checkpoints"), log_dir=str(folder))
    return model, before, backbone_weights(model)


def test_frozen_trains_the_head_alone_and_leaves_the_statistics(split, source, tmp_path):
    model, before, after = trained(split, tmp_path, weights=source, mode="frozen")
    assert all((one == two).all() for one, two in zip(before, after, strict=True))
    assert len(model.trainable_weights) == 2, "kernel and bias of the classifier"


def test_full_trains_everything(split, source, tmp_path):
    _, before, after = trained(split, tmp_path, weights=source, mode="full")
    assert all((one != two).any() for one, two in zip(before, after, strict=True))


def test_gradual_goes_from_the_head_to_the_stem(split, source, tmp_path, caplog):
    caplog.set_level("INFO")
    model, before, after = trained(split, tmp_path, weights=source, mode="gradual", head_epochs=2, group_epochs=1)
    told = [record.getMessage() for record in caplog.records if "is trained" in record.getMessage()]
    assert [line.split(":")[0] for line in told] == [
        "from epoch 1 on the head is trained",
        "from epoch 3 on the head and 1 groups is trained",
        "from epoch 4 on everything is trained",
    ]
    names = [weight.name for weight in model.get_layer("backbone").weights]
    for name, one, two in zip(names, before, after, strict=True):
        assert (one != two).any() == ("kernel" in name), name


def test_gradual_continues_in_its_phase_after_an_interruption(split, source, tmp_path):
    config = {"weights": source, "mode": "gradual", "head_epochs": 2, "group_epochs": 1}
    _, _, whole = trained(split, tmp_path / "whole", **config)

    chosen = settings(**config)
    make_reproducible(1)
    model = compiled_model(chosen, split)

    class Kill(Exception):
        pass

    class Killer(tf.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise Kill

    original = model.fit
    model.fit = lambda *args, callbacks, **rest: original(*args, callbacks=[*callbacks, Killer()], **rest)
    with pytest.raises(Kill):
        fit(model, chosen, split, split, folder=str(tmp_path / "killed"), log_dir=str(tmp_path))
    model = compiled_model(chosen, split)
    fit(model, chosen, split, split, folder=str(tmp_path / "killed"), log_dir=str(tmp_path))
    assert all((one == two).all() for one, two in zip(whole, backbone_weights(model), strict=True)), "to the bit"


def test_gradual_with_too_few_epochs_says_how_many_it_needs(split, source):
    with pytest.raises(ValueError, match=r"needs more than 7 epochs for the 1 groups of convnet"):
        compiled_model(settings(weights=source, mode="gradual"), split)


@pytest.mark.parametrize(("architecture", "side", "expected"), [("MobileNet", 64, 4), ("VGG16", 64, 4)])
def test_groups_follow_the_resolution(architecture, side, expected):
    from trainer_module.models import build_backbone

    backbone = build_backbone((side, side, 3), ModelConfig(architecture=architecture))
    stem, groups = transfer.convolution_groups(backbone)
    assert len(groups) == expected
    layers = [layer.name for part in [stem, *groups] for layer in part]
    assert layers == [layer.name for layer in backbone.layers if layer.weights]
    assert any("conv" in layer.name for layer in stem)


def test_one_shot_initialization_trains_under_heavy_dropout_and_keeps_the_weights(split):
    chosen = settings(pretraining_epochs=1)
    model = compiled_model(chosen, split)
    before = model.get_weights()
    initialization.initialize(model, chosen, split, split)
    assert any((one != two).any() for one, two in zip(before, model.get_weights(), strict=True))
    assert int(model.optimizer.iterations) == 0, "the training itself has not begun"


def test_of_several_initializations_the_losers_are_stopped(split, caplog):
    caplog.set_level("INFO")
    chosen = settings(initializations=3)
    model = compiled_model(chosen, split)
    initialization.initialize(model, chosen, split, split)
    told = [record.getMessage() for record in caplog.records if "initializations stopped" in record.getMessage()]
    assert len(told) == 2, "of three one is stopped, of two another"


def test_negative_transfer_is_told_with_what_to_change():
    own = {name: [0.2, 0.3, 0.9] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}

    def found(twin: list[float]) -> list[str]:
        seen = Evidence(history=own, classes=3, learning_rate=0.1, twin={"val_accuracy": twin})
        return [f"{one.evidence} {one.advice}" for one in diagnose(seen) if one.rule == "negative transfer"]

    [said] = found([0.4, 0.5])
    assert said.startswith("after 2 epochs the validation accuracy is 0.300 with the given weights and 0.500 from")
    assert "transfer.weights to null" in said
    assert found([0.1, 0.2]) == found([]) == []


def test_a_twin_from_scratch_is_trained_and_compared(split, source, tmp_path, caplog):
    caplog.set_level("INFO")
    chosen = settings(weights=source, mode="frozen", twin_epochs=2)
    seen = fit(compiled_model(chosen, split), chosen, split, split, folder=str(tmp_path / "f"), log_dir=str(tmp_path))
    assert len(seen.twin["val_accuracy"]) == 2
    assert any(record.getMessage().startswith("twin from scratch, epoch 2") for record in caplog.records)
