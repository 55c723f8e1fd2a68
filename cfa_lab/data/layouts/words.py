"""What people call folders of normal images, of defects, of masks and of splits."""

import re
from collections.abc import Sequence

NORMAL = ("good", "normal", "ok", "pass", "free")

DEFECT = (
    *("bad", "ng", "nok", "ko", "fail", "defect", "defects", "defective"),
    *("anomaly", "anomalies", "anomalous", "abnormal"),
)
"""Names that say defect and no more, so that folders inside may be its kinds."""

MASKS = ("ground_truth", "groundtruth", "masks", "mask", "gt", "labels", "label")
"""In the order in which they are looked for."""

OF_MASKS = {"mask", "masks", "gt", "groundtruth", "segmentation", "segmentations"}
ALSO_OF_MASKS = {"label", "labels", "annotation", "annotations", "seg"}
"""Words in the names of folders of masks; the latter may be kinds of defect as well."""

OF_TRAINING = ("train", "training", "train_set", "trainset")
OF_TESTS = ("test", "testing", "test_set", "testset")
SPLITS = {*OF_TRAINING, *OF_TESTS, "validation", "val", "valid"}

_NO_NEWS = {
    *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos"),
    *("part", "parts", "sample", "samples", "file", "files", "data"),
}
_ALSO_NORMAL = {
    *("passed", "defect free", "no defect", "no defects", "without defect", "without defects"),
    *("non defective", "not defective", "anomaly free", "no anomaly", "non anomalous"),
}
_ALSO_DEFECT = {"not good", "no good", "not ok", "not normal", "non normal", "failed"}


def phrase(name: str) -> str:
    """The words of a name in lower case, without numbers and what says nothing: `0_Good_images`."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return " ".join(word for word in re.findall(r"[^\W\d_]+", parted) if word not in _NO_NEWS)


def means_normal(name: str) -> bool:
    """Whether a folder's name says that its images are normal: `OK`, `0_good`, `defect-free`."""
    return phrase(name) in {*NORMAL, *_ALSO_NORMAL}


def normal_among(names: Sequence[str], own: str | None = None) -> list[str]:
    """Those of some folders' names that say so, the plainest only: `own`, `OK`, `0_good`."""
    if own is not None and own in names:
        return [own]
    plain = [name for name in names if name.lower() in NORMAL]
    return plain or [name for name in names if means_normal(name)]


def means_defect(name: str) -> bool:
    """Whether a folder's name says defect and no more: `NG`, `1_bad`, `not_good`."""
    return phrase(name) in {*DEFECT, *_ALSO_DEFECT}


def means_masks(name: str, *, surely: bool = False) -> bool:
    """Whether a folder's name says that it holds masks: `Ground Truth`, `gt_masks`.

    `surely` leaves out what a kind of defect may be called, too: `label`.
    """
    words = {*phrase(name).replace("ground truth", "groundtruth").split()} - {*DEFECT}
    return bool(words & OF_MASKS if surely else words) and words <= OF_MASKS | ALSO_OF_MASKS


def says_nothing(name: str) -> bool:
    """Whether a folder's name tells nothing of its images: `images`, not `17`."""
    return not phrase(name) and any(letter.isalpha() for letter in name)


def is_split(name: str) -> bool:
    """Whether a folder's name is that of a split."""
    return name.lower() in SPLITS


def not_normal(name: str) -> bool:
    """Whether a folder among normal images holds something else."""
    return means_defect(name) or means_masks(name)


def not_defect(name: str) -> bool:
    """Whether a folder among images with defects holds something else."""
    return means_normal(name) or means_masks(name)
