"""Floor 4: the pipeline as a whole: its configuration, its graph, the local runner and the `tfx-vision` command."""

import transform  # noqa: F401  (first: it chooses Keras 2)
