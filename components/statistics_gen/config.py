"""What statistics and schema are made with."""

CLASSES = 20_000
"""Classes that are counted one by one."""
