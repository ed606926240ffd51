"""ExampleValidator: TFX's, with an executor that does without TensorFlow."""
