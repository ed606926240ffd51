"""The configuration: what is accepted, and what a person is told about a mistake."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import ConfigError, PipelineConfig, build_config, load_config, load_inference_config
from transform.config import descriptions, from_json, to_json

PROJECT = Path(__file__).parents[2]
MINIMAL = "name: flowers\ndata: {path: flowers}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flowers.yaml"
    path.write_text(MINIMAL)
    return path


@pytest.mark.parametrize("path", sorted((PROJECT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_configuration_of_the_project_loads(path: Path) -> None:
    assert (load_inference_config if path.stem.endswith("_inference") else load_config)(path).name


def test_defaults_fill_what_is_not_given(file: Path) -> None:
    config = load_config(file)
    assert (config.transform.height, config.transform.channels) == (224, 3)
    assert config.destination == str(config.folder / "serving")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL + "trainer: {epocs: 3}", "trainer.epocs: unknown key; did you mean epochs?"),
        (MINIMAL + "trainr: {}", "trainr: unknown key; did you mean trainer?"),
        (MINIMAL + "tuner: {search: {modle: {}}}", "tuner.search.modle: unknown key; did you mean model?"),
        (
            MINIMAL + "tuner: {search: {model: {droput: [0.1]}}}",
            "tuner.search: model.droput is no setting; did you mean dropout?",
        ),
        (
            MINIMAL + "tuner: {search: {trainer: {learning_rate: {low: 0.1, high: 7}}}}",
            "tuner.search: trainer.learning_rate: 7.0 is refused: input should be less than or equal to 1",
        ),
        (
            MINIMAL + "tuner: {search: {trainer: {learning_rate: {low: 0, high: 1, scale: log}}}}",
            "low, 0, must be above 0 on a logarithmic scale",
        ),
        (MINIMAL + "pusher: {xyzzy: 1}", "pusher.xyzzy: unknown key; known here: destination"),
        (MINIMAL + "transform: {height: 0}", "transform.height: 0 is refused"),
        (MINIMAL + "transform: {channels: 2}", "transform.channels: 2 is refused: input should be 1 or 3"),
        (MINIMAL + "transform: {on_bad_image: skip}", "'mark' or 'fail'"),
        (MINIMAL + "transform: {steps: [rezise]}", "transform.steps: 'rezise' is no step; did you mean resize?"),
        (
            MINIMAL + "beam: {runner: DaskRunner}",
            "beam.runner: 'DaskRunner' is refused: input should be 'in_memory' or 'multi_processing'",
        ),
        (MINIMAL + "trainer: {learning_rate: .nan}", "trainer.learning_rate: nan is refused"),
        (MINIMAL + "trainer: {epochs: many}", "trainer.epochs: 'many' is refused"),
        (MINIMAL + "model: {filters: []}", "model.filters"),
        (MINIMAL + "model: {filters: [32, 0]}", "model.filters.1: 0 is refused"),
        (MINIMAL + "tuner: {reuse: best.txt}", "set tuner.enabled to false"),
        ("name: Flowers\ndata: {path: flowers}", "name: 'Flowers' is refused"),
        ("data: {path: flowers}", "name: is required"),
        ("name: flowers", "data: is required"),
        ("name: flowers\ndata: {path: a, splits: {test: 0}}", "data: splits.test is 0 and there is no test_path"),
        ("name: flowers\ndata: {path: a, test_path: b}", "splits.test must be 0"),
        ("name: flowers\ndata: {path: a, num_spans: 2}", "data: num_spans is 2, but path a has no spans"),
        ("name: flowers\ndata: {path: 'a/{SPAN}', num_spans: 0}", "data.num_spans: 0 is refused"),
        (
            "name: flowers\ndata: {path: 'a/{YYYY}-{MM}-{DD}', num_spans: 2, splits: {mode: stratified}}",
            "splits.mode stratified may put a picture into train in one span and into test in another",
        ),
        (
            "name: flowers\ndata: {path: 'a/{SPAN:3}', num_spans: 2, duplicates: {together: true}}",
            "duplicates.together may put a picture into train in one span",
        ),
        ("just words", "should hold keys and values"),
        ("", "should hold keys and values"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_mistake_is_told_with_its_key(file: Path, text: str, expected: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)


def test_all_mistakes_are_told_at_once(file: Path) -> None:
    file.write_text(MINIMAL + "trainer: {epocs: 3, batch_size: 0}\ntransform: {width: -1}")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert all(key in str(caught.value) for key in ("trainer.epocs", "trainer.batch_size", "transform.width"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: No such file"):
        load_config(tmp_path / "absent.yaml")


def test_a_file_of_bytes_is_not_yaml(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_config(file)


def test_set_replaces_and_adds(file: Path) -> None:
    overrides = ["trainer.epochs=3", "tuner.search.model.dropout=[0.1]", "name=tulips", "data.test_path=null"]
    config = load_config(file, overrides)
    assert config.trainer.epochs == 3
    assert config.tuner.search.model == {"dropout": [0.1]}
    assert config.name == "tulips"
    assert config.data.test_path is None


def test_what_is_ingested_follows_what_the_transform_takes(file: Path) -> None:
    limits = load_config(file, ["transform.max_pixels=1000", "transform.max_bytes=2000"]).data.limits
    assert (limits.pixels, limits.file_bytes) == (1000, 2000)
    tighter = load_config(file, ["transform.max_pixels=1000", "data.limits.pixels=500"]).data.limits
    assert tighter.pixels == 500
    most = load_config(file, ["transform.max_pixels=2000000000"]).data.limits
    assert most.pixels == 178_000_000, "what ingestion can take at all"


def test_limits_that_contradict_are_refused(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(file, ["transform.max_pixels=1000", "data.limits.pixels=5000"])
    assert "data.limits.pixels is 5,000, but transform.max_pixels refuses what is over 1,000; leave" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trainer.epochs", "write key.path=value"),
        ("=3", "write key.path=value"),
        ("trainer.epochs=[", "is not a YAML value"),
        ("name.first=a", "name holds a value, not keys"),
        ("trainer.epocs=3", "trainer.epocs: unknown key; did you mean epochs?"),
        ("trainer.epochs=0", "trainer.epochs: 0 is refused"),
    ],
)
def test_set_refuses_with_a_reason(file: Path, override: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(file, [override])
    assert expected in str(caught.value)


def test_settings_cannot_be_changed(file: Path) -> None:
    with pytest.raises(AttributeError):
        load_config(file).trainer.epochs = 3  # type: ignore[misc]


def test_every_setting_is_described() -> None:
    assert [path for path, cls, name in settings_of(PipelineConfig) if not descriptions(cls).get(name)] == []


def test_settings_survive_json(file: Path) -> None:
    config = load_config(file, ["trainer.epochs=3"])
    assert from_json(PipelineConfig, to_json(config)) == config


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "data", "path", "trainer", "epochs"]) | st.text(), inner, max_size=4
            )
        ),
        max_leaves=8,
    )
)
def test_any_document_is_accepted_or_explained(value: Any) -> None:
    document = value if isinstance(value, dict) else {"name": "flowers", "data": value}
    try:
        config = build_config(yaml.safe_load(yaml.safe_dump(document)), "generated")
    except ConfigError as error:
        assert str(error).startswith("generated:\n  ")
    else:
        assert from_json(PipelineConfig, to_json(config)) == config


def settings_of(cls: Any, path: str = "") -> list[tuple[str, Any, str]]:
    """Key path, class and name of every setting."""
    found = []
    for field in fields(cls):
        found.append((f"{path}{field.name}", cls, field.name))
        if is_dataclass(field.type):
            found += settings_of(field.type, f"{path}{field.name}.")
    return found
