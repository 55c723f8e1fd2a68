"""From images to pooled feature pyramids: networks, extraction, and the store for all runs."""
