"""TFX's Evaluator with this project's thresholds, for a champion that may not exist yet.

Reads raw examples, the candidate and the champion; writes the evaluation and the blessing.
"""
