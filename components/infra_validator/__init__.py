"""InfraValidator: tries a blessed model where it will be, before it is pushed.

Reads the model, its blessing and the evaluation with a few test images and their answers; starts a server with the
model in a process of its own (TensorFlow Serving where it is installed, else the development server), asks it through
every signature, and writes an `InfraBlessing` with what was measured and the warm-up requests. A model that starts too
slowly, needs too much memory, fails, or answers anything but what it answered the Evaluator is not blessed. TFX's own
component wants Docker or Kubernetes and does not run on open-source Kubeflow.
"""
