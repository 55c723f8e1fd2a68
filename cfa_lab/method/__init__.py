"""CFA in readable torch, from backbone to detector: no configuration, no files, no logging."""
