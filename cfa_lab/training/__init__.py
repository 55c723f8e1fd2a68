"""From a pooled pyramid to a detector: parts, loop, files of a model and of an unfinished fit."""
