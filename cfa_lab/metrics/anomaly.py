"""`AnomalyMetrics`: all metrics of a test set, exact, from any number of batches and processes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from cfa_lab.metrics.collected import STATES, scored_set_of, states_of
from cfa_lab.metrics.curves import Curve
from cfa_lab.metrics.intake import Array, Maps, Masks
from cfa_lab.metrics.intervals import CONFIDENCE, NUM_RESAMPLES, NUM_THRESHOLDS, Interval
from cfa_lab.metrics.per_image import FPR_RANGE
from cfa_lab.metrics.saturation import Defect
from cfa_lab.metrics.scored_set import ScoredSet
from cfa_lab.metrics.spill import num_bytes, spilled
from cfa_lab.metrics.summary import checked_limits


class AnomalyMetrics(Metric):
    """Image and pixel AUROC, AP, F1max, and AUPRO: exact to rounding, at the maps' resolution.

    Sums are float64. What is kept, without positions: 4 bytes per normal pixel (8 for float64 maps)
    and 8 (12) per defect pixel, on the metric's device. All processes have to hand in maps of one
    dtype. `forward` copies the whole state at every call, as with any torchmetrics metric that
    keeps lists: call `update`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def __init__(
        self,
        aupro_limits: Sequence[float] = (0.3, 0.05),
        *,
        with_spro: bool = False,
        spill_bytes: int | None = None,
        spill_folder: Path | None = None,
        **kwargs: Any,
    ) -> None:
        """`aupro_limits`: false-positive rates in (0, 1] up to which AUPRO is integrated.

        `with_spro`: also sPRO (MVTec LOCO AD), at the same limits; `update` then needs `defects`.
        `spill_bytes`: normal pixels that exceed this in memory move to a file in `spill_folder`
        (None: the system's temporary folder) that vanishes with the metric; no result changes.
        `kwargs` are torchmetrics' own.
        """
        super().__init__(**kwargs)
        self.aupro_limits = checked_limits(aupro_limits)
        self.with_spro = with_spro
        self.spill_bytes = spill_bytes
        self.spill_folder = spill_folder
        self._kept: tuple[list[Tensor], ScoredSet] | None = None
        for name in STATES:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(
        self,
        maps: Maps,
        masks: Masks | None,
        labels: Array | Sequence[int] | None = None,
        scores: Array | Sequence[float] | None = None,
        names: Sequence[str] | None = None,
        *,
        defects: Sequence[Sequence[Defect]] | None = None,
        kinds: Sequence[int] | None = None,
    ) -> None:
        """Add score maps and masks: (b, h, w), (b, 1, h, w), or lists of (h, w), tensors or arrays.

        A mask is non-zero where the image is defect; None, for all or for one of a list, means that
        it is unknown and the image counts for image metrics only. `labels`: 1 for a defect image,
        None = any defect pixel in its mask. `scores`: of the images, None = maximum of the map.
        `names` appear in error messages. For sPRO alone: `defects`, those of each image, whose
        union is its mask, and `kinds`, 1, 2, ... by kind of defect and 0 for a normal image (None:
        the label). Refused batches add nothing.
        """
        if names is None:
            seen = sum(chunk.numel() for chunk in self._chunks("labels"))
            names = [f"image {seen + index}" for index in range(len(maps))]
        added = states_of(
            maps, masks, labels, scores, names, defects, kinds, with_spro=self.with_spro
        )
        for name, arrays in added.items():
            self._chunks(name).extend(torch.from_numpy(array).to(self.device) for array in arrays)
        if self.spill_bytes is not None:
            negatives = self._chunks("negatives")
            if num_bytes(negatives, on_disk=False) > self.spill_bytes:
                self.negatives = spilled(negatives, folder=self.spill_folder)

    def compute(self) -> dict[str, Tensor]:
        """All metrics by name as float64 scalars; NaN where undefined, `undefined` says why."""
        return {
            name: torch.tensor(value, dtype=torch.float64, device=self.device)
            for name, value in self._scored_set().values().items()
        }

    def undefined(self) -> dict[str, str]:
        """For each metric without a value, why it has none, in a few words."""
        return self._synced_set().undefined()

    def oracle(self) -> dict[str, float]:
        """What only test labels can tell: `image_f1max_threshold` and `pixel_f1max_threshold`."""
        return self._synced_set().oracle()

    def at_threshold(
        self, image_threshold: float, pixel_threshold: float | None = None
    ) -> dict[str, float]:
        """F1, false-positive rate and miss rate of "score >= threshold", for images and pixels.

        Keys: `image_f1 image_fpr image_miss_rate`, the same with `pixel_`; NaN without that
        threshold or class. `pixel_f1` is the SegF1 of MVTec AD 2.
        """
        return self._synced_set().at_threshold(image_threshold, pixel_threshold)

    def extra(self, *, fpr_range: tuple[float, float] = FPR_RANGE) -> dict[str, float]:
        """`pixel_iou_max`, the best IoU over all thresholds, and `aupimo`, the mean over images."""
        return self._synced_set().extra(fpr_range=fpr_range)

    def aupimo(self, *, fpr_range: tuple[float, float] = FPR_RANGE) -> np.ndarray:
        """AUPIMO of every image with defect pixels, in order; NaN without normal images."""
        return self._synced_set().aupimo(fpr_range=fpr_range)

    def curves(self) -> dict[str, Curve]:
        """(x, y), at most 1000 points each, of `image_roc image_pr pixel_roc pixel_pr pro`.

        Empty arrays where undefined.
        """
        return self._synced_set().curves()

    def intervals(
        self,
        *,
        num_resamples: int = NUM_RESAMPLES,
        confidence: float = CONFIDENCE,
        num_thresholds: int = NUM_THRESHOLDS,
        seed: int = 0,
    ) -> dict[str, Interval]:
        """The interval of every metric over images, see `intervals.py`."""
        return self._synced_set().intervals(
            num_resamples=num_resamples,
            confidence=confidence,
            num_thresholds=num_thresholds,
            seed=seed,
        )

    @property
    def memory_bytes(self) -> int:
        """Bytes of the kept scores in memory, on whichever device."""
        return sum(num_bytes(self._chunks(name), on_disk=False) for name in STATES)

    @property
    def disk_bytes(self) -> int:
        """Bytes of the kept scores on disk."""
        return num_bytes(self._chunks("negatives"), on_disk=True)

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """torchmetrics' `sync`; a process without images joins in with empty states."""
        for name, dtype in STATES.items():
            if not len(self._chunks(name)):
                getattr(self, name).append(torch.zeros(0, dtype=dtype, device=self.device))
        super().sync(*args, **kwargs)

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Add the images of another metric, or of its state, as if they had been given here."""
        super().merge_state(incoming_state)
        self._computed = None  # torchmetrics would go on returning the result from before ...
        self._update_count = max(self._update_count, 1)  # ... or warn that there is none

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self._kept = None

    def _chunks(self, name: str) -> list[Tensor]:
        """A state as a list: torchmetrics keeps lists, and one tensor while synchronised."""
        state = getattr(self, name)
        return [state] if isinstance(state, Tensor) else state

    def _synced_set(self) -> ScoredSet:
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            return self._scored_set()

    def _scored_set(self) -> ScoredSet:
        """The scored set of the present states; kept, because its rankings are most of the work."""
        now = list(self._chunks("scores"))
        if self._kept is not None:
            then, scored_set = self._kept
            if len(then) == len(now) and all(a is b for a, b in zip(then, now, strict=True)):
                return scored_set
        states = {name: self._chunks(name) for name in STATES}
        scored_set = scored_set_of(states, self.aupro_limits, with_spro=self.with_spro)
        self._kept = (now, scored_set)
        return scored_set
