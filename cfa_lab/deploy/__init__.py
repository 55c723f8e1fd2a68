"""Trained detectors in use: loaded, exported, scored with, watched and looked at."""
