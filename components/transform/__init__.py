"""Transform for images: TFT's analysis with a cache for each span, batches by size, errors that name the image.

Reads raw examples and their facts; writes the transform graph, the transformed examples and the analyzer cache.
"""
