"""BulkInferrer: TFX's, with an executor that takes any model of ours.

Reads examples and the model; writes a PredictionLog per example. TFX's own cannot take an output that is one string per
example, such as a label, and one image that cannot be read ends it.
"""
