"""From a detector and test images to score maps and metrics, at original resolution."""
