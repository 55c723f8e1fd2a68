"""CFA compiled for GPUs: neighbours by one Triton kernel."""
