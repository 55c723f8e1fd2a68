"""The layout `csv`: an index file that lists images in whatever folders they lie.

Columns: `path`, relative to the file's folder; `label` (normal, good, ok, 0 / anomaly, defect,
bad, ng, 1 and the other words of `words`); and, where wanted, `split` (train, validation, test),
`mask` (several separated by `;`), `defect`, `group`, `category`. Without `split` a part of the
normal images is drawn by group.
"""

from dataclasses import replace
from pathlib import Path

from cfa_lab.data.layouts.layout import Layout, Listing, Options
from cfa_lab.data.layouts.splits import draw_test, drawn_rule
from cfa_lab.data.layouts.tables import read_rows
from cfa_lab.data.layouts.words import DEFECT, NORMAL
from cfa_lab.data.samples import GOOD, Sample
from cfa_lab.errors import UserError

LABELS = {**dict.fromkeys((*NORMAL, "0"), 0), **dict.fromkeys((*DEFECT, "1"), 1)}
SPLITS = ("train", "validation", "test")


def _rows(root: Path, options: Options) -> list[dict[str, str]]:
    rows = read_rows(root / options.index, ("path", "label"))
    if not rows:
        raise UserError(f"index {root / options.index} lists no image; add a line for each")
    return rows


def _categories(root: Path, options: Options) -> list[str]:
    return sorted({row.get("category") or root.name for row in _rows(root, options)})


def _listing(root: Path, category: str, options: Options) -> Listing:
    path = root / options.index
    rows = [r for r in _rows(root, options) if (r.get("category") or root.name) == category]
    has_split = "split" in rows[0]
    samples = [_sample(row, root, path, has_split=has_split) for row in rows]
    rule = f"the column split of {options.index}"
    if not has_split:
        tested = {s.group for s in samples if s.label and s.group}
        group_of = {s.path: s.group or s.path for s in samples if not s.label}
        drawn = draw_test(
            group_of, fraction=options.test_fraction, seed=options.seed, tested=tested
        )
        samples = [
            replace(s, split="test" if s.label or s.path in drawn else "train") for s in samples
        ]
        rule = drawn_rule(options.test_fraction, options.seed, "groups")
    for split in ("train", "test"):
        if not any(sample.split == split for sample in samples):
            raise UserError(
                f"index {path} leaves no image of {category!r} to {split} on; "
                "mend its columns split and label"
            )
    return Listing(samples=samples, split_rule=rule, drawn=not has_split)


def _sample(row: dict[str, str], root: Path, path: Path, *, has_split: bool) -> Sample:
    label = LABELS.get(row["label"].lower())
    if label is None:
        raise UserError(
            f"index {path} gives {row['path']!r} the label {row['label']!r}; "
            f"allowed: {', '.join(LABELS)}"
        )
    split = row["split"].lower() if has_split else "train"
    if split not in SPLITS:
        raise UserError(
            f"index {path} gives {row['path']!r} the split {row['split']!r}; "
            f"allowed: {', '.join(SPLITS)}"
        )
    if label and has_split and split != "test":
        raise UserError(
            f"index {path} puts the defect image {row['path']!r} into {split}; "
            "CFA learns from normal images only, so give it the split test"
        )
    if not row["path"]:
        raise UserError(f"index {path} has a line without a path; name the image or delete it")
    masks = tuple(m.strip() for m in row.get("mask", "").split(";") if m.strip())
    return Sample(
        path=_below(root, row["path"]),
        split=split,
        label=label,
        defect=(row.get("defect") or "defect") if label else GOOD,
        masks=tuple(_below(root, mask) for mask in masks) if label else (),
        group=row.get("group") or None,
    )


def _below(root: Path, path: str) -> str:
    """A path as the table wants it: relative to the root, also where the index has all of it."""
    path = path.replace("\\", "/")
    return path.removeprefix(f"{root.as_posix()}/") if path.startswith("/") else path


CSV = Layout(
    categories=_categories,
    listing=_listing,
    matches=lambda root, options: (root / options.index).is_file(),
    structure="an index file (dataset.index) with the columns path, label and perhaps split, mask, "
    "defect, group, category",
    source="these are your own images",
)
