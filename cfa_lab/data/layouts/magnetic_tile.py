"""The magnetic-tile set as published: `MT_<kind>/Imgs/*.jpg`, each with a PNG mask of its stem."""

import re
from pathlib import Path

from cfa_lab.data.layouts.folders import image_names, readable_folder_names, stem
from cfa_lab.data.layouts.layout import Layout, Listing, Options
from cfa_lab.data.layouts.splits import draw_test, drawn_rule
from cfa_lab.data.samples import GOOD, Sample
from cfa_lab.errors import UserError

NORMAL = "MT_Free"
PHOTOS = (".jpg", ".jpeg")


def _kinds(root: Path) -> list[str]:
    return [
        name
        for name in readable_folder_names(root)
        if name.startswith("MT_") and (root / name / "Imgs").is_dir()
    ]


def _listing(root: Path, category: str, options: Options) -> Listing:
    """Tiles with a defect are tested, with their normal frames; of the others a part is drawn."""
    photos: dict[str, list[str]] = {}
    masks: dict[str, dict[str, str]] = {}
    for kind in _kinds(root):
        names = image_names(root / kind / "Imgs")
        photos[kind] = [name for name in names if name.lower().endswith(PHOTOS)]
        masks[kind] = {stem(n): n for n in names if not n.lower().endswith(PHOTOS)}
    if not photos.get(NORMAL):
        raise UserError(
            f"{root} has no normal images; put the tiles without defect into {NORMAL}/Imgs"
        )
    tested = {_tile(name) for kind in photos if kind != NORMAL for name in photos[kind]}
    tile_of = {name: _tile(name) for name in photos[NORMAL]}
    drawn = draw_test(tile_of, fraction=options.test_fraction, seed=options.seed, tested=tested)
    if not photos[NORMAL] or len(drawn) == len(photos[NORMAL]):
        raise UserError(f"{root}: every tile of {NORMAL} has a defect elsewhere; none can train")
    samples, unused = [], []
    for kind, names in photos.items():
        normal = kind == NORMAL
        for name in names:
            mask = masks[kind].get(stem(name))
            samples.append(
                Sample(
                    path=f"{kind}/Imgs/{name}",
                    split="train" if normal and name not in drawn else "test",
                    label=int(not normal),
                    defect=GOOD if normal else kind.removeprefix("MT_").lower(),
                    masks=(f"{kind}/Imgs/{mask}",) if mask and not normal else (),
                    group=_tile(name),
                )
            )
        known = {stem(name) for name in names}
        unused += [f"{kind}/Imgs/{mask}" for key, mask in masks[kind].items() if key not in known]
    if not any(sample.split == "test" for sample in samples):
        raise UserError(f"{root} has no test images; raise dataset.test_fraction")
    rule = drawn_rule(options.test_fraction, options.seed, "tiles") + ", tiles with a defect first"
    return Listing(samples=samples, split_rule=rule, drawn=True, unused_masks=tuple(unused))


def _tile(name: str) -> str:
    """The physical tile of `exp<k>_num_<n>.jpg`; the name itself where it says none."""
    found = re.search(r"num_?(\d+)", name)
    return found[1] if found else stem(name)


MAGNETIC_TILE = Layout(
    categories=lambda root, options: ["magnetic_tile"] if _kinds(root) else [],
    listing=_listing,
    matches=lambda root, options: bool(_kinds(root)),
    structure="MT_Free/Imgs and MT_<defect>/Imgs, each with .jpg images and .png masks of one stem",
    source="the magnetic-tile set is its authors' repository, Magnetic-tile-defect-datasets",
)
