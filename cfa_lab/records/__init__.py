"""The files of a run folder: their names, and each one's writer beside its reader."""
