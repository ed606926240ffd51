"""Floor 3: the TFX components that TFX lacks, a folder each: spec, executor and the settings they own."""

import transform  # noqa: F401  (first: it chooses Keras 2)
