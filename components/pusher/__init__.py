"""Pusher: a blessed model → the next version at the serving destination, exactly once and whole.

Reads the model, its blessings and evaluation, and the champion; writes a `PushedModel` artifact. Without both
blessings nothing is pushed. TFX's Pusher names versions by the clock and copies straight to the final place, so a
retry pushes twice and a crash leaves half a model that TF Serving loads.
"""
