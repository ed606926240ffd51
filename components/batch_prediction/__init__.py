"""Batch prediction: a saved model over a folder of images, through Beam.

`images` lists them and asks the model, `table` makes a CSV file of the answers; `tfx-vision predict DIR --output FILE`
is both.
"""
