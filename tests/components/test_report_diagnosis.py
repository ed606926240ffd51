"""The report's part on what the Trainer found in its history."""

import json

from components.report.page import render
from tests.components.test_report import contents


def page(folder, findings: list[dict[str, object]], good: list[str]) -> str:
    (folder / "diagnostics.json").write_text(json.dumps({"findings": findings, "good": good}))
    return render(contents(folders={"model_run": str(folder)}))


def test_findings_stand_with_evidence_and_advice(tmp_path):
    finding = {"rule": "overfitting", "epoch": 7, "evidence": "val_loss <rose>.", "advice": "raise model.dropout."}
    html = page(tmp_path, [finding], [])
    assert 'id="diagnosis"' in html
    assert "Overfitting</b>" in html and "since epoch 7" in html
    assert "Val_loss &lt;rose&gt;." in html and "Raise model.dropout." in html


def test_a_training_without_findings_is_called_so_and_its_good_signs_are_named(tmp_path):
    html = page(tmp_path, [], ["the validation loss fell in every epoch."])
    assert "Nothing in the curves looks wrong." in html
    assert "Good</b>: the validation loss fell in every epoch." in html
