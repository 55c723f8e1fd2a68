"""From a detector and test images to score maps, metrics and what became of the hyperspheres."""
