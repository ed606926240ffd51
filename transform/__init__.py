"""Floor 1: pure image operations in the TensorFlow graph, and the feature names everybody shares.

Importing this package is cheap and chooses Keras 2 for the whole process: `MultiWorkerMirroredStrategy`
trains under it and fails inside Keras 3's `fit`, TensorFlow Transform's layers are Keras 2, and TFX's
own image sets the same variable. Every other package imports this one first.
"""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
