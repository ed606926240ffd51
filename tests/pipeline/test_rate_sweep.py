"""The plot of a learning-rate sweep, and a sweep that is not possible."""

import xml.etree.ElementTree as ElementTree

from click.testing import CliRunner

from pipeline.console import main
from trainer_module.sweep import Sweep
from trainer_module.sweep_plot import plot


def test_plot_marks_the_suggested_and_the_configured_rate():
    rates = [10.0 ** (step / 10 - 6) for step in range(61)]
    losses = [2.3 - 0.02 * step for step in range(50)] + [1.3 + 0.5 * step for step in range(10)] + [float("nan")]
    root = ElementTree.fromstring(plot(Sweep(rates=rates, losses=losses), 1e-2, 1e-3))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"suggested 0.01", "configured 0.001", "1e-06", "1"} <= set(texts)
    [line] = root.iter("{http://www.w3.org/2000/svg}polyline")
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert len(points) == 60, "a loss that is not a number is left out"
    assert all(44 <= y <= 372 for _, y in points), "what diverges stays inside the frame"


def test_sweep_before_a_run_says_to_run_first(tmp_path):
    file = tmp_path / "flowers.yaml"
    file.write_text(f"name: flowers\nroot: {tmp_path}\ndata: {{path: flowers}}\n")
    result = CliRunner().invoke(main, ["sweep", str(file), "-o", str(tmp_path / "sweep.svg")])
    assert result.exit_code == 1 and "run the pipeline first" in result.output
    assert not (tmp_path / "sweep.svg").exists()
