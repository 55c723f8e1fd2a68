"""One run: what stands before it, the run itself, and what it leaves behind."""
