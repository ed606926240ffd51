"""`tfx-vision data inspect`: what it says of the pixels, class by class."""

from pathlib import Path

from PIL import Image

from pipeline.inspection import as_page, as_text, inspect


def test_a_class_that_is_darker_than_the_others_is_seen(tmp_path: Path) -> None:
    for label, grey in (("day", 200), ("night", 20)):
        (tmp_path / label).mkdir()
        for index in range(3):
            Image.new("L", (20, 20 + index), grey + index).save(tmp_path / label / f"{index}.png")
    found = inspect(str(tmp_path), 100, lambda done, total: None)
    assert found.typical() == {"day": [201.0, 0.0, 0.0], "night": [21.0, 0.0, 0.0]}
    rows = {line.split()[0]: line.split() for line in as_text(found).splitlines() if line.startswith("  ")}
    assert (rows["day"][3], rows["night"][3]) == ("201.0", "21.0")
    assert '<td class="n">201.0</td>' in as_page(found)
    assert "red, green and blue are the brightness" in as_text(found)


def test_a_class_of_another_colour_is_seen(tmp_path: Path) -> None:
    for label, colour in (("leaf", (10, 200, 30)), ("sky", (20, 60, 220))):
        (tmp_path / label).mkdir()
        for index in range(2):
            Image.new("RGB", (20, 20 + index), colour).save(tmp_path / label / f"{index}.png")
    found = inspect(str(tmp_path), 100, lambda done, total: None)
    assert found.typical()["leaf"][3:] == [10.0, 200.0, 30.0]
    head, leaf, sky = (line.split() for line in as_text(found).splitlines()[1:4])
    assert head[-3:] == ["red", "green", "blue"]
    assert (leaf[6:9], sky[6:9]) == (["10.0", "200.0", "30.0"], ["20.0", "60.0", "220.0"])
    assert ">Blue</th>" in as_page(found) and '<td class="n">220.0</td>' in as_page(found)
