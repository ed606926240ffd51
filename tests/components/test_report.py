"""The report's page, from made-up contents: neither TFX nor TensorFlow is imported."""

import base64
import dataclasses
import io
import json
import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from components.evaluator.config import EvaluatorConfig
from components.evaluator.tally import Mistake
from components.infra_validator.trial import Trial
from components.report.charts import line_chart, ruler, ticks
from components.report.contents import (
    LONG,
    Artifact,
    Contents,
    Outcome,
    Pixels,
    Push,
    Sizes,
    SplitContents,
    natural,
    size_step,
)
from components.report.page import plain, render
from components.report.parts.champion import changes
from components.report.parts.confusion import Confusion, confusion_of
from components.report.parts.sizes import sides, size_plot
from components.report.pictures import picture
from tests.browser import BROWSER, browsing
from tests.components.predictions import evaluation

HOSTILE = "<script>alert('x')</script>"
SECTIONS = [
    "test",
    "confusion",
    "classes",
    "slices",
    "calibration",
    "mistakes",
    "champion",
    "robustness",
    "training",
    "curves",
    "search",
    "data",
    "samples",
    "balance",
    "sizes",
    "pixels",
    "serving",
    "pushes",
    "origin",
    "lineage",
    "versions",
    "configuration",
]


def encoded(width: int = 8, height: int = 8, mode: str = "L", kind: str = "PNG", seed: int = 0) -> bytes:
    """An image file of noise."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def confusion(classes: list[str], seed: int = 0) -> Confusion:
    """Mostly right, some mistakes."""
    draws = random.Random(seed)
    counts = [
        [
            40 + draws.randrange(20) if row == column else max(draws.randrange(-9, 5), 0)
            for column in range(len(classes))
        ]
        for row in range(len(classes))
    ]
    return Confusion(classes=classes, counts=counts)


def trial(name: str, accuracy: float, values: dict[str, Any]) -> dict[str, Any]:
    """A row of the Tuner's table."""
    metrics = {f"val_{metric}": accuracy for metric in ("accuracy", "precision", "recall", "f1", "loss")}
    return {"trial_id": name, "epochs": 1, "values": values, "metrics": metrics | {"rate_of_change": None}}


def contents(classes: list[str] | None = None, **other: Any) -> Contents:
    """A run with everything: two models, a search, images of several sizes."""
    classes = classes or ["ant", "bee", HOSTILE]
    shown = picture(encoded(), f"data/{classes[0]}/1.png", 56)
    found = other.pop("evaluation", None) or evaluation(classes, images=max(600, 8 * len(classes)))
    draws = random.Random(1)
    split = SplitContents(
        counts={name: 50 + draws.randrange(40) for name in classes},
        sizes=Sizes(width=(20, 200, 900), height=(18, 180, 1200)),
        kinds={"JPEG, RGB": 100, "PNG, grey": 50},
        extents={
            (
                size_step(round(draws.lognormvariate(5.2, 0.5)) + 8),
                size_step(round(draws.lognormvariate(5.0, 0.5)) + 8),
            ): draws.randrange(1, 30)
            for _ in range(150)
        },
        samples={name: [shown, shown] for name in classes},
        anomalies=[],
        pixels={
            name: Pixels(
                measured=20 + draws.randrange(20),
                brightness=draws.uniform(60, 180),
                contrast=draws.uniform(20, 70),
                sharpness=draws.uniform(5, 50),
                channels=(draws.uniform(60, 180), draws.uniform(60, 180), draws.uniform(60, 180)),
            )
            for name in classes
        },
    )
    values = {
        "name": "flowers",
        "run": "2026-11-24T03:47:35",
        "written": "2026-11-24 03:48",
        "evaluation": found,
        "outcome": Outcome(
            threshold=0.88, class_threshold=0.5, champion_version=2, pushed_version="3", destination="/models/flowers"
        ),
        "splits": {"train": split, "eval": split, "test": split},
        "input_size": (224, 224),
        "schema": [("image", "bytes", "in every example")],
        "history": {
            "loss": [1.2, 0.8, 0.5, 0.3],
            "accuracy": [0.5, 0.7, 0.8, 0.9],
            "val_loss": [1.0, 0.7, 0.6, 0.65],
            "val_accuracy": [0.6, 0.75, 0.82, 0.81],
        },
        "training": {
            "model": {"architecture": "convnet", "dropout": 0.25, "filters": [32, 64]},
            "trainer": {
                "epochs": 10,
                "batch_size": 64,
                "optimizer": "adam",
                "learning_rate": 0.001,
                "schedule": "cosine",
            },
            "augmentation": {"flip": "horizontal"},
        },
        "hyperparameters": {"trainer.learning_rate": 0.001},
        "trials": [
            trial("1", 0.81, {"trainer.learning_rate": 0.001, "trainer.optimizer": "adam"}),
            trial("0", 0.78, {"trainer.learning_rate": 0.01, "trainer.optimizer": "rmsprop"}),
        ],
        "mistakes": {one.content_hash: shown for one in found.mistakes},
        "pushes": [
            Push(
                destination="/models/flowers",
                version=3,
                label="stable",
                pushed_at="2026-11-24 03:48",
                by="ann@host",
                why="accuracy 0.9123",
                accuracy=0.9123,
                champion=1,
                withdrawn="",
            ),
            Push(
                destination="/models/flowers",
                version=2,
                label=None,
                pushed_at="2026-11-23 03:48",
                by="ann@host",
                why="",
                accuracy=0.9021,
                champion=1,
                withdrawn=f"wrong on {HOSTILE}",
            ),
        ],
        "lineage": [
            Artifact(producer="Trainer", output="model", type="Model", id=26, uri="/runs/flowers/Trainer/model/26"),
            Artifact(
                producer="Pusher", output="pushed_model", type="PushedModel", id=29, uri="/runs/flowers/Pusher/29"
            ),
        ],
        "versions": {"python": "3.11.2", "tfx": "1.21.0"},
        "configuration": "name: flowers\ndata: {path: data/flowers}\n",
    }
    return Contents(**{**values, **other})


class Page(HTMLParser):
    """What a browser would make of a page: elements, ids, text, and elements that were not closed."""

    VOID = frozenset({"meta", "link", "img", "br", "line", "circle", "rect", "path"})

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data

    def values(self, attribute: str) -> list[str]:
        return [value for name, value in self.attributes if name == attribute]


def test_the_page_is_whole_and_every_section_is_in_the_table_of_contents() -> None:
    page = Page(render(contents()))
    assert page.open == []
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert set(SECTIONS) <= set(ids)
    assert {link.removeprefix("#") for link in page.values("href") if link != "data:,"} <= set(ids)
    assert {f"#{section}" for section in SECTIONS} <= set(page.values("href"))


def test_names_from_the_data_are_text_and_nothing_else() -> None:
    hostile = [HOSTILE, '" onload="x', "{{ 7 * 7 }}", "</title><style>", "&amp;"]
    shown = picture(encoded(), HOSTILE, 56)
    found = dataclasses.replace(
        evaluation(hostile),
        blessed=False,
        misses=[f"accuracy of class {HOSTILE} is low"],
        mistakes=[Mistake(1.0, "0", HOSTILE, HOSTILE, hostile[1], 0.0)],
    )
    page = Page(
        render(
            contents(hostile, name=HOSTILE, mistakes={"0": shown}, evaluation=found, configuration=f"path: {HOSTILE}")
        )
    )
    assert page.open == []
    assert "script" not in page.tags and page.tags.count("style") == 1
    assert not {name for name, _ in page.attributes if name.startswith("on")}
    assert "49" not in page.text.split()
    assert all(name in page.text for name in hostile)


def test_nothing_is_loaded_from_elsewhere() -> None:
    html = render(contents())
    page = Page(html)
    assert not re.search(r"https?://|//[a-z]|url\(|@import", re.sub(r"data:[^\"]+", "", html))
    assert all(value.startswith("data:") for value in page.values("src"))
    assert all(value.startswith(("#", "data:")) for value in page.values("href"))


def test_every_picture_and_chart_has_a_name() -> None:
    page = Page(render(contents()))
    assert page.tags.count("img") == len([alt for alt in page.values("alt") if alt])
    titles = {value for value in page.values("aria-labelledby") if value.endswith("-title")}
    assert page.tags.count("svg") == len(titles)
    assert set(page.values("aria-labelledby")) <= set(page.values("id"))


def test_a_first_model_has_no_champion() -> None:
    text = " ".join(Page(render(contents(evaluation=evaluation(champion=None)))).text.split())
    assert "nothing was being served when this model was judged" in text
    assert "Greatest loss first." in text  # of the robustness
    assert "McNemar" not in text


def test_a_missed_threshold_is_said_first() -> None:
    outcome = dataclasses.replace(contents().outcome, pushed_version=None, destination=None)
    missed = evaluation(right=0.4, champion=None, config=EvaluatorConfig(min_accuracy=0.88))
    text = " ".join(Page(render(contents(outcome=outcome, evaluation=missed))).text.split())
    assert re.search(r"Not blessed, so not pushed. Accuracy over all test images is 0\.\d+, 0\.\d+ below", text)
    assert "missed by 0." in text


def test_what_could_not_be_judged_is_told() -> None:
    few = evaluation(images=24, config=EvaluatorConfig(min_class_accuracy=0.1, min_slice_examples=9))
    assert "The images of class ant are 8, fewer than 9" in Page(render(contents(evaluation=few))).text


def test_a_run_without_a_search_says_where_its_hyperparameters_come_from() -> None:
    assert "those of the configuration" in render(contents(trials=[], hyperparameters={}))
    assert "those of an earlier one: learning rate 0.001." in render(contents(trials=[]))


def test_a_perfect_model_has_no_mistakes_to_show() -> None:
    found = evaluation(["a", "b"], right=1.0)
    perfect = dataclasses.replace(found, mistakes=[], confusion=[(0, 0, 300), (1, 1, 300)])
    assert render(contents(["a", "b"], evaluation=perfect)).count("There was no mistake") == 2


def test_hundreds_of_classes_stay_readable() -> None:
    classes = [f"class {number}" for number in range(300)]
    page = Page(render(contents(classes)))
    assert page.values("class").count("confusion dense") == 1
    assert f"{300 - LONG + 1} other classes" in page.text
    assert "250 classes between" in page.text
    assert page.text.count("The other 250 classes") == 2


def test_images_of_one_size_need_no_chart() -> None:
    sizes = Sizes(width=(28, 28, 28), height=(28, 28, 28))
    split = dataclasses.replace(contents().splits["train"], sizes=sizes, extents={(size_step(28), size_step(28)): 9})
    splits = {"train": split, "eval": split, "test": split}
    page = Page(render(contents(splits=splits, input_size=(28, 28))))
    assert "so nothing is resized" in page.text
    assert page.values("class").count("chart sizes") == 0


def test_the_pixels_of_each_class_and_split_are_told() -> None:
    split = contents().splits["train"]
    dark = Pixels(measured=7, brightness=20.04, contrast=3.0, sharpness=2.0, channels=(30.0, 10.0, 0.25))
    held_out = dataclasses.replace(split, counts={"ant": 9}, pixels={"ant": dark})
    splits = {"train": split, "eval": held_out, "test": dataclasses.replace(split, pixels={})}
    html = render(contents(splits=splits))
    text = " ".join(re.sub(r"<[^>]+>", " ", html).split())
    assert "eval 9 7 20.0 3.0 2.0 30.0 10.0 0.2" in text and "rgb(30,10,0)" in html
    assert "Red" in text and "The images are grey" not in text
    grey = dataclasses.replace(dark, channels=(20.04,) * 3)
    splits = {name: dataclasses.replace(held_out, pixels={"ant": grey}) for name in splits}
    text = Page(render(contents(splits=splits))).text
    assert "The images are grey" in text and "Red" not in text
    unmeasured = {name: dataclasses.replace(split, pixels={}) for name in splits}
    assert "#pixels" not in Page(render(contents(splits=unmeasured))).values("href")


def test_a_condensed_confusion_counts_every_image_once() -> None:
    matrix = confusion([f"{number}" for number in range(60)])
    condensed = matrix.condensed(20)
    assert len(condensed.classes) == len(condensed.counts) == 20
    assert condensed.classes[-1] == "41 other classes"
    assert sum(map(sum, condensed.counts)) == sum(map(sum, matrix.counts))
    shown = {matrix.mistakes(matrix.classes.index(name)) for name in condensed.classes[:-1]}
    assert min(shown) >= sorted(map(matrix.mistakes, range(60)), reverse=True)[19]


def test_confusions_come_most_frequent_first() -> None:
    matrix = Confusion(classes=["a", "b"], counts=[[8, 2], [3, 9]])
    assert matrix.pairs() == [("b", "a", 3, 0.25), ("a", "b", 2, 0.2)]


def test_the_confusion_is_the_evaluations_in_the_order_people_expect() -> None:
    found = dataclasses.replace(evaluation(["10", "9"]), confusion=[(0, 0, 5), (0, 1, 2), (1, 1, 7)])
    assert confusion_of(found) == Confusion(classes=["9", "10"], counts=[[7, 0], [2, 5]])


def test_changes_come_greatest_loss_first() -> None:
    found = changes(evaluation())
    assert [change.name for change in found] != []
    assert [change.difference for change in found] == sorted(change.difference for change in found)


def test_small_images_are_enlarged_by_a_whole_number() -> None:
    shown = picture(encoded(28, 20), "", 56)
    assert (shown.width, shown.height, shown.pixelated) == (56, 40, True)
    assert shown.uri.startswith("data:image/png;base64,")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_large_images_are_scaled_down(mode: str) -> None:
    shown = picture(encoded(900, 450, mode, "JPEG"), "", 56)
    assert (shown.width, shown.height, shown.pixelated) == (56, 28, False)
    assert len(shown.uri) < 12_000


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_kind_of_png_can_be_shown(mode: str) -> None:
    buffer = io.BytesIO()
    if mode == "I;16":
        Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(buffer, "PNG")
    else:
        Image.new("RGBA", (9, 9), (200, 100, 50, 128)).convert(mode).save(buffer, "PNG")
    shown = picture(buffer.getvalue(), "", 56)
    assert shown.width == 54
    pixel = Image.open(io.BytesIO(base64.b64decode(shown.uri.partition(",")[2]))).convert("L").getpixel((4, 4))
    assert pixel in ((0, 255) if mode == "1" else range(115, 160))


def test_a_broken_image_leaves_a_gap_and_not_an_error() -> None:
    assert picture(encoded(64, 64)[:-300], "", 56).uri == ""


def test_lines_stay_in_their_frame_and_names_apart() -> None:
    chart = line_chart("Loss", {"train": [3.0, 1.0, 0.5], "eval": [2.0, 0.9, 0.5]}, lowest_is_best=True)
    left, top, right, bottom = chart.frame
    for line in chart.lines:
        points = [tuple(map(float, point.split(","))) for point in re.split("[ML]", line.path) if point]
        assert all(left <= x <= right and top <= y <= bottom for x, y in points)
    assert abs(chart.lines[0].label_y - chart.lines[1].label_y) == 15
    assert chart.best[2] == "lowest eval: 0.5000 in epoch 3"
    assert len(line_chart("Loss", {"train": [1.0], "eval": [1.0]}, lowest_is_best=True).x_ticks) == 1
    ran_away = line_chart("Loss", {"train": [1.0, 2.0], "eval": [float("inf"), 0.5]}, lowest_is_best=True)
    assert "inf" not in ran_away.lines[1].path and "nan" not in ran_away.lines[1].path


def test_the_ruler_shows_the_threshold_wherever_it_is() -> None:
    for threshold in (0.0, 0.5, 0.97, 1.0):
        drawn = ruler([("this model", 0.9, (0.79, 0.957))], threshold)
        assert 84 <= drawn.threshold.at <= 500


def test_sizes_of_every_spread_fit_the_plot() -> None:
    for extents in ({(size_step(28), size_step(28)): 5}, {(size_step(3), size_step(9)): 1, (size_step(12_715), 40): 7}):
        plot = size_plot(extents, (224, 224))
        left, top, right, bottom = plot.frame
        assert all(left <= dot.x <= right and top <= dot.y <= bottom for dot in plot.dots)
        assert plot.x_ticks and plot.y_ticks


def test_ticks_are_round_and_cover_the_range() -> None:
    assert ticks(0.13, 0.87, 5) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(5, 5, 5)[0] < 5 < ticks(5, 5, 5)[-1]
    assert sides(size_step(9), size_step(600)) == [10, 20, 50, 100, 200, 500]


def test_numbers_in_names_sort_as_numbers() -> None:
    assert sorted(["10", "9", "b2", "B1", "²"], key=natural) == ["9", "10", "B1", "b2", "²"]


def test_settings_are_written_as_a_person_would() -> None:
    assert plain({"directory": "", "every_epochs": 1, "keep": False}) == "directory –, every_epochs 1, keep no"
    assert [plain(value) for value in (True, 0.003, [32, 64], "adam")] == ["yes", "0.003", "32, 64", "adam"]


INTERACTIVE = """[...document.querySelectorAll("a[href], summary, [tabindex='0'], .wide, pre")].filter(one =>
  one.checkVisibility() && (one.matches("a, summary, [tabindex]") || one.scrollWidth > one.clientWidth))"""
FOCUSED = f"""(() => {{
  const one = document.activeElement, style = getComputedStyle(one), box = one.getBoundingClientRect()
  return {{
    at: {INTERACTIVE}.indexOf(one), name: one.outerHTML.slice(0, 100),
    outlined: style.outlineStyle != "none" && parseFloat(style.outlineWidth) > 0,
    shown: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
    open: one.tagName == "SUMMARY" ? one.parentElement.open : null,
  }}
}})()"""


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_the_page_is_used_by_keyboard_read_on_a_phone_and_printed(tmp_path: Path) -> None:
    few_images = EvaluatorConfig(slices=[["size"]], min_slice_examples=1000, min_class_accuracy=0.5)
    (tmp_path / "page.html").write_text(render(contents(evaluation=evaluation(config=few_images))))
    address = (tmp_path / "page.html").as_uri()
    with browsing(tmp_path / "profile") as tab:
        # No animation, so that what has the focus is in view at once.
        tab.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
        for width in (1280, 390):
            tab.open(address, width)
            assert tab.ask("document.documentElement.scrollWidth - innerWidth") <= 0, f"{width} px scroll sideways"
            stops, folded = tab.ask(f"{INTERACTIVE}.length"), 0
            for stop in range(stops):
                tab.press("Tab")
                focused = tab.ask(FOCUSED)
                assert (focused["at"], focused["outlined"], focused["shown"]) == (stop, True, True), focused["name"]
                if focused["open"] is False:
                    folded += 1
                    for key in ("Enter", " "):
                        tab.press(key)
                        assert tab.ask(FOCUSED)["open"] is True, f"{key!r} opens"
                        tab.press(key)
                        assert tab.ask(FOCUSED)["open"] is False, f"{key!r} closes"
            assert folded > 3, "something on the page can be opened"
            tab.press("Tab")
            assert tab.ask(FOCUSED)["at"] == -1, "the focus leaves the page"
            assert tab.complaints == []
            assert tab.requests == [address]
        tab.open(address, 1280)
        tab.press("Tab")
        tab.press("Enter")
        assert tab.ask("location.hash") == "#main"
        tab.send("Emulation.setEmulatedMedia", media="print")
        folded_away = "[...document.querySelectorAll('details > :not(summary)')].filter(one => !one.checkVisibility())"
        assert tab.ask(f"{folded_away}.length") == 0, "what is folded is printed"
        assert tab.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
        assert tab.send("Page.printToPDF")["data"].startswith("JVBERi")


def test_the_page_needs_neither_tfx_nor_tensorflow() -> None:
    code = """import sys, components.report.page, components.report.pictures
print({"tfx", "tensorflow", "apache_beam"} & set(sys.modules))"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_trial_in_a_server_is_told(tmp_path: Path) -> None:
    trial = Trial(server="development server", start_seconds=6.1, first_ms=7.0, batch=8, batch_ms=4.0, memory_mib=700.0)
    trial.latency_ms, trial.signatures = {"p50": 4.6, "p95": 10.9, "max": 13.5}, ["examples"]
    trial.misses = ["signature examples answered 500"]
    (tmp_path / "infra.json").write_text(json.dumps(trial.to_json()))
    page = Page(render(contents(folders={"infra_blessing": str(tmp_path)})))
    text = " ".join(page.text.split())
    assert "6.1 s" in text and "p95 10.9" in text and "Signature examples answered 500." in text
    assert "#server" in page.values("href")
    assert "#server" not in Page(render(contents())).values("href")


def test_a_part_reads_what_a_component_wrote_and_does_without(tmp_path: Path) -> None:
    (tmp_path / "diagnostics.json").write_text('{"dead_units": 3}')
    with_file = contents(folders={"model_run": str(tmp_path)})
    assert with_file.read("model_run", "diagnostics.json") == {"dead_units": 3}
    assert with_file.read("model_run", "other.json") is None
    assert contents().read("model_run", "diagnostics.json") is None
