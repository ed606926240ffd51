"""Evaluator: candidate and champion on the test split in one pass, judged by thresholds.

Reads raw examples, the candidate and the champion (which may not exist yet); writes `evaluation.json`, the same as
TensorFlow Model Analysis stores it, and the blessing. It takes the place of TFX's Evaluator, whose metrics see one
image at a time: with per-class metrics and slices 2,000 images take it a minute, with confidence intervals many.

`config` has the thresholds; `inference` counts what models answer (`tally`), by slice (`slices`); `metrics` are what
follows from the counts, `judge` compares them with the thresholds, `results` puts all together.
"""
