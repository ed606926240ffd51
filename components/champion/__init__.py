"""Champion: the model that is being served, as an artifact for the Evaluator.

Reads the serving destination; writes a `Model` artifact, empty when nothing is served yet. TFX's Resolver would
give the last blessed model instead, which need not be the one that users see, and open-source Kubeflow has no Resolver.
"""
