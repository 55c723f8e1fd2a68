"""From images to pooled feature pyramids."""
