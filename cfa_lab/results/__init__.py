"""What run folders hold, and how they are read back."""
