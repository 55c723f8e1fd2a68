"""CFA compiled for CPUs: steps and neighbours by numba, with proven bounds."""
