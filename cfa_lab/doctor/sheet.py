"""A contact sheet: a few images of every kind, defects outlined, to see what a table cannot say."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from cfa_lab.data.depth import Depth
from cfa_lab.data.images import read_image
from cfa_lab.data.masks import load_mask
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.errors import UserError
from cfa_lab.files import replacing

COLUMNS, CELL, GAP, CAPTION = 8, 144, 6, 24
OUTLINE = (255, 0, 200)
PAPER, INK, QUIET = (255, 255, 255), (20, 20, 20), (200, 200, 200)


def draw_sheet(table: SampleTable, path: Path, depth: Depth) -> None:
    """Write a PNG with up to eight images of each kind, spread evenly over its files."""
    kinds: dict[str, list[Sample]] = {}
    for split in ("train", "validation", "test"):
        for sample in getattr(table, split):
            kinds.setdefault(f"{split} / {sample.defect}", []).append(sample)
    width = COLUMNS * (CELL + GAP) + GAP
    height = len(kinds) * (CELL + CAPTION + GAP) + GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for row, (kind, samples) in enumerate(kinds.items()):
        top = GAP + row * (CELL + CAPTION + GAP)
        text = f"{table.category}   {kind}   {len(samples)} images"
        pen.text((GAP, top), text, fill=INK, font=font)
        for column, sample in enumerate(_spread(samples)):
            left = GAP + column * (CELL + GAP)
            thumbnail = _thumbnail(table, sample, depth)
            if thumbnail is None:
                box = (left, top + CAPTION, left + CELL - 1, top + CAPTION + CELL - 1)
                pen.rectangle(box, outline=QUIET)
                pen.text((left + 8, top + CAPTION + 8), "unreadable", fill=INK, font=font)
            else:
                sheet.paste(thumbnail, (left, top + CAPTION))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        sheet.save(partial, format="PNG")


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    count = min(COLUMNS, len(samples))
    return [samples[i * len(samples) // count] for i in range(count)]


def _thumbnail(table: SampleTable, sample: Sample, depth: Depth) -> Image.Image | None:
    """The image within a cell, the rim of its mask drawn in; None where it cannot be read."""
    try:
        image = read_image(table.absolute(sample.path), depth)
        mask = load_mask(
            [table.absolute(mask) for mask in sample.masks],
            (image.height, image.width),
            above=table.mask_above,
        )
    except UserError:
        return None
    scale = CELL / max(mask.shape)
    width, height = (max(1, round(n * scale)) for n in reversed(mask.shape))
    small = image.resize((width, height))
    seen = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize((width, height))) > 0
    drawn = np.array(small)
    drawn[np.logical_xor(ndimage.binary_dilation(seen), seen)] = OUTLINE
    return Image.fromarray(drawn)
