"""SpanWindow: the spans that are trained on together, of which ImageExampleGen read the newest only.

A TFX Resolver with a strategy of ours; reads the metadata store and writes nothing. TFX's own SpanRangeStrategy takes
whatever has a span: also what no gate let pass, every older version, and images that were split differently.
"""
