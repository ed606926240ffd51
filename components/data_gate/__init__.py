"""DataGate: stops the run when the data is not what the schema says.

Reads the anomalies that ExampleValidator found and the statistics; writes nothing. TFX's ExampleValidator only
records anomalies and lets the run go on.
"""
