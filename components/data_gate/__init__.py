"""DataGate: stops the run when the data is not what it should be.

Reads the anomalies that ExampleValidator found, the statistics and the schema; writes nothing. Refuses anomalies,
classes that a split lacks, splits that differ from the training split, and a span that differs from the last one
that passed. TFX's ExampleValidator only records anomalies and lets the run go on.
"""
