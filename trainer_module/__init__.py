"""Floor 2: what Trainer and Tuner call: feeding, models, optimizers, callbacks and export."""

import transform  # noqa: F401  (first: it chooses Keras 2)
