"""The VisA layout, as published (a list of its images) or re-organised into MVTec's tree.

Masks hold small class numbers and look black; everything above 0 is defect.
"""

from pathlib import Path

from cfa_lab.data.layouts.folders import readable_folder_names
from cfa_lab.data.layouts.layout import Layout, Listing, Options
from cfa_lab.data.layouts.tables import read_rows
from cfa_lab.data.layouts.tree import Tree
from cfa_lab.data.samples import GOOD, Sample
from cfa_lab.errors import UserError

VISA_CATEGORIES = {
    "candle",
    "capsules",
    "cashew",
    "chewinggum",
    "fryum",
    "macaroni1",
    "macaroni2",
    "pcb1",
    "pcb2",
    "pcb3",
    "pcb4",
    "pipe_fryum",
}
LISTS = "split_csv"
COLUMNS = ("object", "split", "label", "image", "mask")
LABELS = {"normal": 0, "anomaly": 1}
REORGANISED = Tree()


def _categories(root: Path, options: Options) -> list[str]:
    raw = [
        name for name in readable_folder_names(root) if (root / name / "Data" / "Images").is_dir()
    ]
    return raw or REORGANISED.categories(root)


def _matches(root: Path, options: Options) -> bool:
    if any((root / name / "Data" / "Images").is_dir() for name in readable_folder_names(root)):
        return True
    found = {*REORGANISED.categories(root)}
    return bool(found) and found <= VISA_CATEGORIES and REORGANISED.matches(root)


def _listing(root: Path, category: str, options: Options) -> Listing:
    if not (root / category / "Data" / "Images").is_dir():
        return REORGANISED.listing(root, category, options)
    name = options.split or "1cls"
    path = root / LISTS / f"{name}.csv"
    known = sorted(file.stem for file in (root / LISTS).glob("[!.]*.csv"))
    if name not in known:
        raise UserError(
            f"no list {path}; dataset.split={name!r} is not there, found: "
            f"{', '.join(known) or 'none'}; the lists come with the archive, in {LISTS}/"
        )
    rows = [row for row in read_rows(path, COLUMNS) if row["object"] == category]
    defects = _defect_names(root / category / "image_anno.csv")
    samples = []
    for row in rows:
        label = LABELS.get(row["label"])
        if label is None or row["split"] not in ("train", "test"):
            raise UserError(
                f"list {path} has split {row['split']!r} and label {row['label']!r} for "
                f"{row['image']}; allowed: train, test and {', '.join(LABELS)}"
            )
        if label and row["split"] == "train" and name == "1cls":
            raise UserError(
                f"list {path} puts the defect image {row['image']} into training; "
                "get the published list again"
            )
        if label and row["split"] == "train":
            continue  # the few-shot lists train classifiers; CFA sees normal images only
        samples.append(
            Sample(
                path=row["image"],
                split=row["split"],
                label=label,
                defect=defects.get(row["image"], "anomaly") if label else GOOD,
                masks=(row["mask"],) if label and row["mask"] else (),
            )
        )
    for split in ("train", "test"):
        if not any(sample.split == split for sample in samples):
            raise UserError(
                f"list {path} names no usable {split} image of {category!r}; "
                "get the published list again"
            )
    return Listing(samples=samples, split_rule=f"the data set's own, {LISTS}/{name}.csv")


def _defect_names(path: Path) -> dict[str, str]:
    """Image -> kinds of defect, joined by `+`; empty where the annotations are not there."""
    if not path.is_file():
        return {}
    rows = read_rows(path, ("image", "label"))
    return {
        row["image"]: "+".join(part.strip() for part in row["label"].split(",")) for row in rows
    }


VISA = Layout(
    categories=_categories,
    listing=_listing,
    matches=_matches,
    structure=f"<category>/Data/Images and {LISTS}/1cls.csv, or <category>/train/good and "
    "<category>/test/{good,bad}",
    source="VisA is linked from its authors' repository, spot-diff",
)
