"""SchemaGen: proposes a schema from the statistics of the training split, or takes the accepted one.

Unlike TFX's it knows which feature is an image, lists every class however many there are, and does not take the
formats of one split for all there may be. `tfx-vision schema accept` turns its proposal
into a file under version control, which `gate.schema` names.
"""
