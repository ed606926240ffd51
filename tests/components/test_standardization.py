"""A standardized Fashion-MNIST, from its files to the model's input."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from tests.components.test_transform import run, write_span
from tests.transform.test_preprocessing import names, nodes_of
from trainer_module import export, normalization
from transform import features
from transform.config import TransformConfig

FASHION = Path(__file__).parents[2] / "data" / "fashion-mnist" / "train"
CONFIG = TransformConfig(height=28, width=28, channels=1, normalization="standardize")
BATCH = 1000


@pytest.mark.slow
@pytest.mark.skipif(not FASHION.is_dir(), reason="`make demo` fetches Fashion-MNIST to data/fashion-mnist")
def test_the_training_split_has_zero_mean_and_unit_deviation_by_constants_in_the_saved_model(tmp_path):
    images = [file.read_bytes() for file in sorted(FASHION.glob("*/*.png"))]
    write_span(tmp_path / "data/0", images, shards=4)
    feature = run(tmp_path / "data", config=CONFIG)[0].features.feature
    [mean], [deviation] = (
        feature[name].float_list.value for name in (features.CHANNEL_MEAN, features.CHANNEL_DEVIATION)
    )
    pixels = tf.keras.Input((28, 28, 1), dtype=tf.uint8)
    standardized = tf.keras.layers.Flatten()(normalization.layer(CONFIG, ([mean], [deviation]))(pixels))
    model = tf.keras.Model(pixels, standardized)
    graph = tft.TFTransformOutput(str(tmp_path / "data/graph"))
    export.save(model, graph, CONFIG, names(CONFIG), str(tmp_path / "model"))

    constants = [
        tf.make_ndarray(node.attr["value"].tensor) for node in nodes_of(tmp_path / "model") if node.op == "Const"
    ]
    assert any(constant.size == 1 and constant.ravel()[0] == np.float32(mean) for constant in constants)
    assert [file.name for file in (tmp_path / "model/assets").iterdir()] == [features.VOCABULARY]
    # Nothing but the saved model is left to serve from.
    shutil.rmtree(tmp_path / "data")
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    total = squares = 0.0
    for start in range(0, len(images), BATCH):
        values = serve(tf.constant(images[start : start + BATCH]))["probabilities"].numpy().astype(np.float64)
        total, squares = total + values.sum(), squares + (values**2).sum()
    count = len(images) * 28 * 28
    assert total / count == pytest.approx(0, abs=1e-3)
    assert np.sqrt(squares / count) == pytest.approx(1, abs=1e-3)
