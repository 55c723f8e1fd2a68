"""What looks wrong about a data set though it can be read; each a line for the user."""

from collections.abc import Sequence

import numpy as np

from cfa_lab.data import saturation
from cfa_lab.data.layouts.words import means_normal
from cfa_lab.data.samples import SampleTable

MOST_SHOWN = 3


def named(paths: Sequence[str]) -> str:
    """The first few of some paths and how many more there are."""
    more = len(paths) - MOST_SHOWN
    return ", ".join(paths[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def doubts_by_name(table: SampleTable) -> list[str]:
    """What names alone show: missing, unused and JPEG masks, a test set of one kind."""
    defects = [sample for sample in table.test if sample.label]
    bare = [sample.path for sample in defects if not sample.masks]
    lines = []
    if bare and len(bare) < len(defects):
        lines.append(
            f"{len(bare)} of {len(defects)} defect images have no mask and are left out of pixel "
            f"metrics: {named(bare)}; add the masks or take the images out"
        )
    if table.unused_masks:
        lines.append(
            f"{len(table.unused_masks)} masks belong to no image: {named(table.unused_masks)}; a "
            "mask needs its image's stem, and a defect's folder the same name in both places"
        )
    lossy = [m for s in defects for m in s.masks if m.lower().endswith((".jpg", ".jpeg"))]
    if lossy:
        lines.append(
            f"{len(lossy)} masks are JPEG files, whose compression smears values that count as "
            f"defect: {named(lossy)}; save masks as PNG"
        )
    if "spro" in table.measures and table.saturation is None:
        lines.append(
            f"sPRO is undefined without {table.category}/{saturation.FILE}, which says how much of "
            "a defect is enough; copy it from the data set's archive"
        )
    for kind in sorted({sample.defect for sample in defects}):
        if means_normal(kind.rpartition("/")[2]):
            lines.append(
                f"the images of {kind!r} count as defects, though a folder of that name holds "
                "normal ones elsewhere: put all normal ones into one folder, or name the folders "
                "with dataset=folder dataset.normal"
            )
    for label, kind in enumerate(("normal", "defect")):
        if not any(sample.label == label for sample in table.test):
            lines.append(
                f"the test set has no {kind} image, so that AUROC is undefined; add some to it"
            )
    return lines


def notes_by_name(table: SampleTable) -> list[str]:
    """What may well be meant so, but should not go unsaid: no masks, files that are left out."""
    defects = [sample for sample in table.test if sample.label]
    lines = []
    if defects and table.masks_in and not any(sample.masks for sample in defects):
        lines.append(
            f"no defect image has a mask, so pixel metrics are undefined; looked in "
            f"{table.masks_in} for files called like the images"
        )
    if table.twins:
        pairs = [f"{first} = {second}" for first, second in table.twins]
        lines.append(
            f"{len(pairs)} normal images are stored again, and twins were put on one side of "
            f"training, validation and test: {named(pairs)}; delete one of each"
        )
    if table.left_out:
        shown = [f"{o.num_files} {o.suffix or 'files'} in {o.folder}" for o in table.left_out]
        lines.append(
            f"{sum(o.num_files for o in table.left_out)} files are left out: {named(shown)}; "
            "docs/datasets.md says which folders and suffixes are read"
        )
    return lines


def doubt_about_validation(seen: Sequence[str]) -> list[str]:
    """What a run finds of a division that is the data set's own: validated on what trained."""
    if not seen:
        return []
    return [
        f"{len(seen)} validation images are training images too, so thresholds are too low: "
        f"{named(seen)}; delete them from one of the two"
    ]


def doubts_by_content(seen: Sequence[str], num_empty: float, num_inverted: float) -> list[str]:
    """What a run found as it read the test files: images seen in training, impossible masks."""
    lines = []
    if seen:
        lines.append(
            f"{len(seen)} test images are training images too, so the numbers are too good: "
            f"{named(seen)}; delete them from one of the two"
        )
    if num_empty:
        lines.append(
            f"{num_empty} defect images have an empty mask; python -m cfa_lab doctor names them"
        )
    if num_inverted:
        lines.append(
            f"{num_inverted} masks cover most of their image, as if inverted; "
            "python -m cfa_lab doctor names them"
        )
    return lines


def mask_doubt(mask: np.ndarray) -> str | None:
    """What is doubtful about a defect image's mask (H, W) bool: `empty` or `inverted`, or None.

    Inverted means here that most pixels are defect, and most of the image's rim.
    """
    if not mask.any():
        return "empty"
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    return "inverted" if mask.mean() > 0.5 and rim.mean() > 0.5 else None
