"""Transform on its own: what it writes, how it stops, what it reads again for a new span, and what memory it takes."""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_transform import beam as tft_beam
from tfx import types
from tfx.types import artifact_utils, standard_artifacts

from components.image_example_gen.shards import open_shard
from components.transform import records
from components.transform.analysis import GZIP_TRAILER, analyze
from components.transform.component import Transform
from components.transform.executor import Executor, TransformError
from components.transform.materialization import Materialize, load
from tests.transform.pictures import encode, noise, peak_memory, photo
from transform import features
from transform.config import TransformConfig, to_json

CONFIG = TransformConfig(height=6, width=5)
STANDARDIZED = TransformConfig(height=6, width=5, normalization="standardize")


def write_span(folder: Path, images: Sequence[bytes], shards: int = 1) -> list[str]:
    """Raw examples of two classes, and their facts; returns the files of the training split."""
    for shard in range(shards):
        with open_shard(str(folder / "examples"), str(folder / "facts"), "train", shard, shards) as writer:
            for number in range(shard, len(images), shards):
                label, path = b"ab"[number % 2 :][:1], b"%d.png" % number
                writer.write(raw_example(images[number], label, path), {features.LABEL: label})
    return sorted(str(file) for file in (folder / "examples").glob("*/*.gz"))


def raw_example(image: bytes, label: bytes, path: bytes) -> bytes:
    example = tf.train.Example()
    for name, value in ((features.IMAGE, image), (features.LABEL, label), (features.PATH, path)):
        example.features.feature[name].bytes_list.value.append(value)
    return example.SerializeToString()


def pngs(count: int, seed: int = 0) -> list[bytes]:
    return [encode(noise(6, 5, seed=seed + number), "PNG") for number in range(count)]


def run(folder: Path, spans: int = 1, config: TransformConfig = CONFIG) -> list[tf.train.Example]:
    """Runs the executor on the spans in folders 0, 1, …; returns the transformed examples in their order."""

    def artifact(kind: type, name: str, span: int = 0) -> types.Artifact:
        made = kind()
        made.uri = str(folder / name)
        if kind is standard_artifacts.Examples:
            made.split_names, made.span = artifact_utils.encode_split_names(["train"]), span
        return made

    inputs = {
        name: [artifact(standard_artifacts.Examples, f"{span}/{name}", span) for span in range(spans)]
        for name in ("examples", "facts")
    }
    outputs = {
        "transform_graph": [artifact(standard_artifacts.TransformGraph, "graph")],
        "transformed_examples": [artifact(standard_artifacts.Examples, "transformed")],
        "updated_analyzer_cache": [artifact(standard_artifacts.TransformCache, "cache/1")],
    }
    arguments = ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]
    context = Executor.Context(beam_pipeline_args=arguments, tmp_dir=str(folder / "tmp"), unique_id="1")
    Executor(context).Do(inputs, outputs, {"config": json.dumps(to_json(config))})
    files = sorted(str(file) for file in (folder / "transformed" / "Split-train").glob("*.gz"))
    return [tf.train.Example.FromString(record) for record in records.read(files)]


def test_examples_are_transformed_in_their_order(tmp_path):
    images = pngs(20)
    write_span(tmp_path / "0", images[:12], shards=2)
    write_span(tmp_path / "1", images[12:])
    written = [
        (feature[features.PIXELS].bytes_list.value[0], feature[features.CLASS_INDEX].int64_list.value[0])
        for feature in (example.features.feature for example in run(tmp_path, spans=2))
    ]
    order = [*range(0, 12, 2), *range(1, 12, 2), *range(12, 20)]
    # The vocabulary is in reverse alphabetical order: b, a.
    assert written == [(noise(6, 5, seed=number).tobytes(), 1 - number % 2) for number in order]


def test_encoded_images_are_written_as_they_were_once_they_are_known_to_be_sound(tmp_path):
    images = pngs(6)
    write_span(tmp_path / "0", images)
    config = TransformConfig(height=6, width=5, materialize="encoded")
    written = run(tmp_path, config=config)
    assert [example.features.feature[features.IMAGE].bytes_list.value[0] for example in written] == images
    assert not any(features.PIXELS in example.features.feature for example in written)
    write_span(tmp_path / "bad" / "0", [*images, images[4][:-30]])
    with pytest.raises(TransformError, match=r"^6\.png is a damaged or truncated PNG"):
        run(tmp_path / "bad", config=config)


def test_an_image_that_cannot_be_used_is_named_in_one_sentence(tmp_path):
    images = pngs(6)
    images[4] = images[4][:-30]
    write_span(tmp_path / "0", images)
    with pytest.raises(TransformError) as error:
        run(tmp_path)
    assert str(error.value) == "4.png is a damaged or truncated PNG; mend or remove it, and run again."


def analysed(folder: Path, spans: Sequence[Sequence[str]], name: str, earlier: Path | None = None) -> tuple:
    """Analyses spans; returns how many were read, and what the graph says of an image: its moments."""
    import apache_beam as beam

    graph, cache = folder / name / "graph", folder / name / "cache"
    cache.mkdir(parents=True)
    with (
        beam.Pipeline("FnApiRunner") as pipeline,
        tft_beam.Context(temp_dir=str(folder / name / "tmp"), use_deep_copy_optimization=True),
    ):
        read = analyze(
            pipeline,
            STANDARDIZED,
            spans,
            ["a", "b"],
            graph=str(graph),
            cache=str(cache),
            earlier=str(earlier) if earlier else None,
        )
    rows = load(str(graph), STANDARDIZED)([raw_example(pngs(1)[0], b"a", b"")])
    return read, rows[features.CHANNEL_MEAN].tolist(), rows[features.CHANNEL_DEVIATION].tolist()


def test_a_new_span_costs_the_analysis_of_its_own_images_only(tmp_path):
    first, second = write_span(tmp_path / "0", pngs(9)), write_span(tmp_path / "1", pngs(7, seed=50))
    assert analysed(tmp_path, [first], "first")[0] == 1
    afresh = analysed(tmp_path, [first, second], "afresh")
    # What is left of the first span's file cannot be read, but its end still tells which file it was.
    [file] = map(Path, first)
    file.write_bytes(bytes(100) + file.read_bytes()[-GZIP_TRAILER:])
    again = analysed(tmp_path, [first, second], "again", earlier=tmp_path / "first" / "cache")
    assert again[0] == 1
    assert again[1:] == afresh[1:], "to the bit"
    pixels = np.stack([noise(6, 5, seed=seed) for seed in (*range(9), *range(50, 57))])
    assert again[1][0] == pytest.approx(pixels.mean((0, 1, 2)), rel=1e-6)
    third = analysed(tmp_path, [first, second], "third", earlier=tmp_path / "again" / "cache")
    assert third == (0, *again[1:]), "the newest cache has all of it"


KEYS = """
from functools import partial
from tensorflow_transform.beam.analysis_graph_builder import get_analysis_cache_entry_keys
from tensorflow_transform.beam.analyzer_cache import DatasetKey
from tfx_bsl.tfxio.tensor_adapter import TensorAdapter
from components.transform.analysis import INPUTS, layout
from transform.config import TransformConfig, to_json
from transform.preprocessing import preprocessing_fn
settings = {"transform": to_json(TransformConfig(height=6, width=5, normalization="standardize"))}
specs = TensorAdapter(layout(INPUTS)).OriginalTypeSpecs()
function = partial(preprocessing_fn, custom_config=settings)
print(sorted(key.hex() for key in get_analysis_cache_entry_keys(function, specs, [DatasetKey("span")], False)))
"""
"""Prints what TFT's cache calls its entries."""


def test_what_is_in_the_cache_is_found_again_by_another_process():
    found = [
        subprocess.run(
            [sys.executable, "-c", KEYS], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in "012"
    ]
    assert found[0].count(b",") == 3 and found[0] == found[1] == found[2]


@pytest.mark.parametrize("change", [{"on_bad_image": "fail"}, {"normalization": "rescale"}])
def test_settings_that_change_no_pixel_leave_transform_cached(change):
    assert properties(**change) == properties()


@pytest.mark.parametrize("change", [{"height": 9}, {"normalization": "standardize"}, {"max_pixels": 9}])
def test_settings_that_change_what_is_written_do_not(change):
    assert properties(**change) != properties()


def properties(**settings: object) -> dict:
    channel = types.Channel(type=standard_artifacts.Examples)
    return Transform(channel, channel, TransformConfig(**settings)).exec_properties


@given(st.lists(st.integers(1, 200), min_size=1, max_size=30), st.integers(1, 40))
def test_batches_hold_all_images_in_order_and_no_more_bytes_than_their_budget(sizes, side):
    # Sizes as shares of the budget, so that a handful fills it.
    encoded = [bytes([number]) * size for number, size in enumerate(sizes)]
    config = TransformConfig(height=side, width=side)
    batched = list(records.grouped(iter(encoded), config, encoded_bytes=300, pixel_bytes=3 * 20**2))
    assert [record for batch in batched for record in batch] == encoded
    for batch in batched:
        assert len(batch) == 1 or sum(map(len, batch)) <= 300
        assert len(batch) == 1 or len(batch) * 3 * side**2 <= 3 * 20**2
    for batch, following in itertools.pairwise(batched):
        full = sum(map(len, batch)) + len(following[0]) > 300 or (len(batch) + 1) * 3 * side**2 > 3 * 20**2
        assert full, "no batch is smaller than it must be"


def test_photographs_of_12_megapixels_take_little_memory_however_many(tmp_path):
    large = encode(photo(3000, 4000), "JPEG", quality=90)
    [few], [many] = write_span(tmp_path / "0", [large] * 30), write_span(tmp_path / "many", [large] * 150)
    run(tmp_path)
    materialize = Materialize(str(tmp_path / "graph"), CONFIG)
    materialize.setup()

    def peak_of(file: str, images: int) -> int:
        peak_memory()
        assert list(materialize.process((file, str(tmp_path / "out.gz")))) == [images]
        return peak_memory()

    peak_of(few, 30)  # with what is allocated once
    of_few = peak_of(few, 30)
    assert peak_of(many, 150) - of_few < 80 * len(large)  # the 120 more are not in memory, not even encoded
