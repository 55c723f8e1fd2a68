"""From a pooled pyramid to a detector: the parts, the loop, and what is kept of both."""
