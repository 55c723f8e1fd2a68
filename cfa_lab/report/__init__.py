"""What many runs say together, from their folders alone."""
