"""Measured comparisons, run by `python -m cfa_lab bench <name>`."""
