"""Names of our own artifact types on Kubeflow, where a type is called `namespace.Title`."""

CLASSES = {
    "tfx_vision.Report": "components.report.component.ReportArtifact",
    "tfx_vision.Quarantine": "components.image_example_gen.component.Quarantine",
}
"""Import paths of the classes by name; TFX knows its own."""
