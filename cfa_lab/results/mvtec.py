"""MVTec AD's tables as READMEs and papers show them: a category a row, their average last."""

from collections.abc import Sequence
from statistics import fmean

from cfa_lab.results.collect import Study
from cfa_lab.results.findings import Comparison, metric_name
from cfa_lab.results.markdown import MOST_COLUMNS, table

TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
OBJECTS = (
    *("bottle", "cable", "capsule", "hazelnut", "metal_nut", "pill", "screw"),
    *("toothbrush", "transistor", "zipper"),
)
CATEGORIES = tuple(sorted((*TEXTURES, *OBJECTS)))

BY_CATEGORY = ("image_auroc", "pixel_auroc", "image_f1max", "pixel_f1max", "aupro_30")
MEANS = ("image_auroc", "pixel_auroc", "aupro_30")
"""What the paper's tables give for textures, objects and all."""

NAMES = {
    "resnet18": "ResNet-18",
    "wide_resnet50": "Wide ResNet-50",
    "vgg19_bn": "VGG19-BN",
    "efficientnet_b5": "EfficientNet-B5",
}


def mvtec_tables(study: Study, comparisons: Sequence[Comparison]) -> str:
    """The tables in Markdown; empty unless the study is of the 15 categories of one data set.

    Means over seeds, as shares of 1; an average only where all 15 are there.
    """
    if set(study.categories) != set(CATEGORIES) or len(study.settings) > MOST_COLUMNS:
        return ""
    seeds = sorted({run.seed for run in study.runs})
    dataset = study.runs[0].config.get("dataset.name")
    kinds = "seeds" if len(seeds) > 1 else "seed"
    parts = [f"Data set `{dataset}`, last epoch, {kinds} {', '.join(map(str, seeds))}.\n"]
    found = {comparison.metric.removeprefix("test/"): comparison for comparison in comparisons}
    columns = [_name(study, setting) for setting in study.settings]
    for metric in (name for name in BY_CATEGORY if name in found):
        rows = [
            [category.replace("_", " ").capitalize(), *_values(found[metric], (category,))]
            for category in CATEGORIES
        ]
        average = [f"**{text}**" if text else "" for text in _values(found[metric], CATEGORIES)]
        name = metric_name(found[metric].metric)
        parts.append(f"## {name[0].upper()}{name[1:]}\n")
        parts.append(table(["Category", *columns], [*rows, ["**Average**", *average]]) + "\n")
    shown = [found[name] for name in MEANS if name in found]
    parts.append("## Means of 5 textures / 10 objects / all 15\n")
    rows = []
    for i, setting in enumerate(columns):
        cells = (
            " / ".join(
                _values(comparison, places)[i] or "-" for places in (TEXTURES, OBJECTS, CATEGORIES)
            )
            for comparison in shown
        )
        rows.append([setting, *cells])
    parts.append(table(["", *(metric_name(c.metric) for c in shown)], rows) + "\n")
    return "\n".join(parts)


def _values(found: Comparison, places: Sequence[str]) -> list[str]:
    """Each setting's mean over the categories; empty where one is missing."""
    return [
        f"{fmean(row[place].mean for place in places):.3f}"
        if all(place in row for place in places)
        else ""
        for row in found.table.values()
    ]


def _name(study: Study, setting: str) -> str:
    """A backbone's usual name where backbones are all that varies."""
    if study.keys != ["backbone.name"]:
        return setting
    backbone = str(study.values(setting)["backbone.name"])
    return NAMES.get(backbone, backbone)
