"""MVTec AD's tables as READMEs and papers show them: a category a row, their average last."""

from collections.abc import Sequence
from statistics import fmean

from cfa_lab.metrics.names import metric_name
from cfa_lab.report.collect import Study
from cfa_lab.report.comparisons import Comparison
from cfa_lab.report.tables.markdown import MOST_COLUMNS, head, table

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

    Means over seeds, as shares of 1; an average only where all 15 are there. With many settings
    only the means, a row a setting.
    """
    if set(study.categories) != set(CATEGORIES):
        return ""
    found = {comparison.metric.removeprefix("test/"): comparison for comparison in comparisons}
    names = [_name(study, setting) for setting in study.settings]
    parts = [head(study)]
    if len(names) <= MOST_COLUMNS:
        parts += [_by_category(found[name], names) for name in BY_CATEGORY if name in found]
    return "\n".join([*parts, _means([found[name] for name in MEANS if name in found], names)])


def _by_category(found: Comparison, names: Sequence[str]) -> str:
    rows = [
        [category.replace("_", " ").capitalize(), *_values(found, (category,))]
        for category in CATEGORIES
    ]
    average = [f"**{text}**" if text else "" for text in _values(found, CATEGORIES)]
    title = metric_name(found.metric)
    body = table(["Category", *names], [*rows, ["**Average**", *average]])
    return f"## {title[0].upper()}{title[1:]}\n\n{body}\n"


def _means(shown: Sequence[Comparison], names: Sequence[str]) -> str:
    """Textures, objects and all, as the paper gives them."""
    kinds = (TEXTURES, OBJECTS, CATEGORIES)
    columns = [[_values(found, places) for places in kinds] for found in shown]
    rows = [
        [name, *(" / ".join(kind[i] or "-" for kind in column) for column in columns)]
        for i, name in enumerate(names)
    ]
    body = table(["setting", *(metric_name(found.metric) for found in shown)], rows)
    return f"## Means of 5 textures / 10 objects / all 15\n\n{body}\n"


def _values(found: Comparison, places: Sequence[str]) -> list[str]:
    """Each setting's mean over the categories; empty where one is missing."""
    return [
        f"{fmean(row[place].mean for place in places):.3f}"
        if all(place in row for place in places)
        else ""
        for row in found.table.values()
    ]


def _name(study: Study, setting: str) -> str:
    """The backbone's usual name where nothing else varies."""
    if study.keys not in ([], ["backbone.name"]):
        return setting
    run = next(run for run in study.runs if run.setting == setting)
    backbone = str(run.config.get("backbone.name"))
    return NAMES.get(backbone, backbone)
