"""The files of a run folder: what they are called, and each one's writer beside its readers."""
