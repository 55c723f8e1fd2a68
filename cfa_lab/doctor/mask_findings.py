"""What is wrong with masks, alone and beside their images."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from cfa_lab.data.doubts import mask_doubt, named
from cfa_lab.data.geometry import Geometry
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.doctor.facts import ImageFacts, MaskFacts
from cfa_lab.doctor.finding import Finding
from cfa_lab.errors import UserError

LOST_SHARE = 0.01
"""Share of defect pixels outside the scored window that is worth a line."""

MASK_FAULTS = {
    "size": "masks have another size than their image: {}; make them again from the image",
    "turned": "masks have height and width of their image swapped: {}; EXIF data turn one of the "
    "two, so save both upright",
    "empty": "defect images have an empty mask: {}; draw the defect or take the mask out",
    "inverted": "masks cover most of their image and its rim, as if inverted: {}; defect has to be "
    "above 0, normal 0",
    "graded": "masks have grey levels, and all above 0 count as defect: {}; save them with two "
    "values, without smoothing",
}


def about_masks(
    table: SampleTable,
    facts: dict[str, ImageFacts],
    masks: dict[str, MaskFacts],
    geometry: Geometry,
) -> Iterator[Finding]:
    """What masks would spoil, and what the network does not see of them."""
    wrong: dict[str, list[str]] = defaultdict(list)
    total = seen = 0
    for sample in table.test:
        whole = _union(sample, facts[sample.path], masks)
        for path in sample.masks:
            mask = masks[path]
            if mask.error is None and mask.is_graded and not table.mask_above:
                wrong["graded"].append(path)
        if whole is None:
            kind = _size_fault(sample, facts[sample.path], masks)
        else:
            kind = mask_doubt(whole)
            total += int(whole.sum())
            seen += _visible(whole, geometry)
        if kind is not None:
            wrong[kind].append(sample.masks[0])
    marked = [p for p in table.normal_masks if masks[p].error is None and masks[p].marks_defects]
    if marked:
        yield Finding(
            False,
            f"{len(marked)} masks of normal images are not black: {named(marked)}; a normal image "
            "counts as normal all over, so move those with a defect to the folder of its kind",
        )
    for kind, text in MASK_FAULTS.items():
        if paths := wrong[kind]:
            yield Finding(True, f"{len(paths)} {text.format(named(paths))}")
    if total and total - seen > LOST_SHARE * total:
        yield Finding(
            False,
            f"{(total - seen) / total:.0%} of the defect pixels lie outside what the network sees "
            "with these image settings; image.resize=letterbox image.crop=null leaves none out",
        )


def _union(sample: Sample, image: ImageFacts, masks: dict[str, MaskFacts]) -> np.ndarray | None:
    """An image's masks in one, (H, W) bool; None without masks, or where they do not fit."""
    found = [masks[path] for path in sample.masks]
    if not found or image.error or any(m.error or m.size != image.size for m in found):
        return None
    return np.logical_or.reduce([mask.unpacked() for mask in found])


def _size_fault(sample: Sample, image: ImageFacts, masks: dict[str, MaskFacts]) -> str | None:
    sizes = {masks[path].size for path in sample.masks if masks[path].error is None}
    if image.error or not sizes - {image.size}:
        return None
    return "turned" if image.size[::-1] in sizes else "size"


def _visible(mask: np.ndarray, geometry: Geometry) -> int:
    try:
        top, left, height, width = geometry.plan((mask.shape[0], mask.shape[1])).placement.window
    except UserError:
        return 0
    return int(mask[top : top + height, left : left + width].sum())
