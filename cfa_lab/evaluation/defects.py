"""An image's defects as sPRO counts them: its masks taken apart by the values of their pixels."""

from collections.abc import Mapping

import numpy as np

from cfa_lab.data.geometry import Box, Placement
from cfa_lab.data.masks import load_mask_values
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.data.saturation import FILE, Saturation
from cfa_lab.metrics.saturation import Defect, saturation_area


class DefectReader:
    """Reads the defects of a table's images, with their saturation areas.

    `why_not` says why there is no sPRO, empty where there is: the data set's file is missing, or a
    mask has a value that the file does not know. It may turn up with any image; from then on images
    have no defects.
    """

    def __init__(self, table: SampleTable) -> None:
        self._table = table
        self._names = sorted({sample.defect for sample in table.test if sample.label})
        self._rules: Mapping[int, Saturation] = table.saturation or {}
        missing = f"{table.category}/{FILE} is missing, which says how much of a defect is enough"
        self.why_not = "" if table.saturation else missing

    def kind(self, sample: Sample) -> int:
        """1, 2, ... by kind of defect, 0 for a normal image."""
        return 1 + self._names.index(sample.defect) if sample.label else 0

    def read(self, sample: Sample, placement: Placement) -> list[Defect]:
        """The defects that the scored window shows, one for each mask and value in it.

        What is enough of a defect is reckoned from what is visible of it.
        """
        if self.why_not or not sample.masks:
            return []
        files = {path: self._table.absolute(path) for path in sample.masks}
        planes = [
            (path, plane)
            for path, file in files.items()
            for plane in _cut(load_mask_values([file], placement.original), placement.window)
        ]
        defects = []
        for path, plane in planes:
            for value in np.unique(plane[plane > 0]).tolist():
                if value not in self._rules:
                    self.why_not = f"{FILE} has no pixel_value {value}, which {path} has"
                    return []
                rule, mask = self._rules[value], plane == value
                area = saturation_area(
                    int(mask.sum()), threshold=rule.threshold, relative=rule.relative
                )
                defects.append(Defect(mask, area))
        return defects


def _cut(planes: np.ndarray, window: Box) -> np.ndarray:
    top, left, height, width = window
    return planes[:, top : top + height, left : left + width]
