"""Transform with an executor that suits images: cheap compression, batches by size, errors that name the image.

Reads raw examples and their schema; writes the transform graph and the transformed examples.
"""
