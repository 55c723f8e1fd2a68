"""What scored windows leave out of the masks."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Outside:
    """Counts what the scored windows leave out of the masks, and masks that cannot be right."""

    defect_pixels: int = 0
    seen_pixels: int = 0
    hidden_images: int = 0
    empty_masks: int = 0
    inverted_masks: int = 0

    def count(self, mask: np.ndarray, seen: np.ndarray, *, doubt: str | None) -> None:
        """Add one image's mask (H, W), what its window shows of it, and what is odd about it."""
        self.empty_masks += doubt == "empty"
        self.inverted_masks += doubt == "inverted"
        total, visible = int(mask.sum()), int(seen.sum())
        self.defect_pixels += total
        self.seen_pixels += visible
        self.hidden_images += total > 0 and visible == 0

    def record(self) -> dict[str, float]:
        """The counts as a run's record has them."""
        hidden = self.defect_pixels - self.seen_pixels
        return {
            "defect_pixels_outside_ratio": hidden / self.defect_pixels if self.defect_pixels else 0,
            "num_defect_images_without_visible_defect": self.hidden_images,
            "num_empty_masks": self.empty_masks,
            "num_inverted_masks": self.inverted_masks,
        }
