"""The report's part on copies, contradictions and what was left out."""

import json
from pathlib import Path

from components.report.page import render
from tests.components.test_report import contents

PICTURE = "data:image/png;base64,AAAA"


def page(folder: Path) -> str:
    image = {"path": "/images/cat/<1>.png", "label": "cat", "split": "train", "sha256": "a", "picture": PICTURE}
    listed = [
        {"kind": "conflict", "across_splits": False, "distance": 0, "images": [image, image | {"label": "dog"}]},
        {"kind": "near", "across_splits": True, "distance": 7, "images": [image, image | {"split": "test"}]},
    ]
    counts = {"copies": 3, "copies_across_splits": 0, "conflicts": 1, "near": 12, "near_across_splits": 5}
    duplicates = counts | {"policy": "keep", "listed": listed}
    left_out = [{"path": "/images/cat/cut.jpg", "label": "cat", "reason": "damaged or truncated: is a damaged JPEG"}]
    quarantine = {"images": 1234, "reasons": {"damaged or truncated": 1}, "left_out": left_out}
    (folder / "duplicates.json").write_text(json.dumps(duplicates))
    (folder / "quarantine.json").write_text(json.dumps(quarantine))
    return render(contents(folders={"quarantine": str(folder)}))


def test_alike_images_are_counted_and_shown_and_left_out_files_have_their_reason(tmp_path: Path) -> None:
    html = page(tmp_path)
    for words in ("Pairs that look alike", "5 across splits", "The same file under different labels", "7 of 256 bits"):
        assert words in html
    assert html.count(PICTURE) == 4
    assert "/images/cat/cut.jpg" in html and "is a damaged JPEG" in html and "of 1,234" in html
    assert "chi-square" in html and "<1>.png" not in html


def test_report_of_a_run_without_quarantine_has_no_such_part() -> None:
    assert "Pairs that look alike" not in render(contents())
