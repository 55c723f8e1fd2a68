"""CFA in pure torch: no configuration, no files, no logging."""
