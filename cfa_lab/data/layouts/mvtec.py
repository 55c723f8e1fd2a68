"""MVTec's data sets and those that share their tree: AD, AD 2, LOCO, MPDD, BTAD."""

from dataclasses import replace
from pathlib import Path

from cfa_lab.data.layouts.folders import folder_names
from cfa_lab.data.layouts.layout import Layout, Listing, Options
from cfa_lab.data.layouts.tree import Tree
from cfa_lab.data.saturation import read_saturation

LOGICAL, STRUCTURAL = "logical_anomalies", "structural_anomalies"
MPDD_CATEGORIES = {
    "bracket_black",
    "bracket_brown",
    "bracket_white",
    "connector",
    "metal_plate",
    "tubes",
}

PLAIN = Tree()
ANY_NAME = Tree(any_name=True)
AD2 = Tree(
    validation="validation",
    test="test_public",
    truth="test_public/ground_truth",
    alone=("test_private", "test_private_mixed"),
    # NNN_<light>.png: one scene under several lights
    group=lambda name: name.partition("_")[0],
)
LOCO = Tree(validation="validation", several_masks=True)
BTAD_TREE = Tree(normal="ok")


def _is_loco(root: Path, options: Options) -> bool:
    return any(
        {LOGICAL, STRUCTURAL} & {*folder_names(root / name / "test")}
        for name in LOCO.categories(root)
    )


def _loco_listing(root: Path, category: str, options: Options) -> Listing:
    found = LOCO.listing(root, category, options)
    return replace(found, saturation=read_saturation(root / category))


def _is_mpdd(root: Path, options: Options) -> bool:
    found = {*PLAIN.categories(root)}
    return bool(found) and found <= MPDD_CATEGORIES and PLAIN.matches(root)


MVTEC = Layout(
    categories=PLAIN.categories,
    listing=PLAIN.listing,
    matches=ANY_NAME.matches,
    structure="<category>/train/good, <category>/test/<defect>, <category>/ground_truth/<defect>",
    source="MVTec AD is on MVTec's own website, free for research",
)
MPDD = Layout(
    categories=PLAIN.categories,
    listing=PLAIN.listing,
    matches=_is_mpdd,
    structure="<category>/train/good, <category>/test/<defect>, <category>/ground_truth/<defect>",
    source="MPDD is linked from its authors' repository",
)
MVTEC_AD2 = Layout(
    categories=AD2.categories,
    listing=AD2.listing,
    matches=AD2.matches,
    structure="<category>/train/good, <category>/validation/good, <category>/test_public/{good,bad}"
    ", <category>/test_public/ground_truth/bad",
    source="MVTec AD 2 is on MVTec's own website, free for research",
    measures=("seg_f1",),
)
MVTEC_LOCO = Layout(
    categories=LOCO.categories,
    listing=_loco_listing,
    matches=_is_loco,
    structure="<category>/train/good, <category>/validation/good, <category>/test/<kind>, "
    "<category>/ground_truth/<kind>/<image>/<number>.png",
    source="MVTec LOCO AD is on MVTec's own website, free for research",
    measures=("spro",),
)
BTAD = Layout(
    categories=BTAD_TREE.categories,
    listing=BTAD_TREE.listing,
    matches=BTAD_TREE.matches,
    structure="<category>/train/ok, <category>/test/{ok,ko}, <category>/ground_truth/ko",
    source="BTAD is linked from its authors' repository",
)
