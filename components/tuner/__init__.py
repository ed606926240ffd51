"""TFX's Tuner with a table of its trials.

Reads transformed examples and the transform graph; writes the best hyperparameters and the results of every trial.
"""
