"""Champion: the model that is being served, as an artifact for the Evaluator.

Reads the serving destination, a folder or an object store; writes a `Model` artifact with the stable version, empty
when there is none yet. TFX's Resolver would give the last blessed model instead, which need not be the one that users
see, and open-source Kubeflow has no Resolver.
"""
