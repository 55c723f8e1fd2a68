"""What the page says. File names and errors stand in fields of plain text, never in these."""

from cfa_lab.deploy.findings import judge
from cfa_lab.deploy.view.bank import Bank
from cfa_lab.deploy.view.examined import Examined, Patch
from cfa_lab.deploy.view.tally import TestScores, tally_pixels
from cfa_lab.deploy.view.viewer import Viewer
from cfa_lab.training.description import ModelDescription

CHOOSE = "Choose an image of the run, or upload one."
NOT_SCORED = "Nothing was scored there; click within what the map shows."
NO_PATCH = "Click on a picture to see what its patch there is compared with."


def heading(viewer: Viewer) -> str:
    """The model, in one line."""
    description = viewer.description
    kind = viewer.bank.kind or "unknown kind"
    return (
        f"**{_plain(description.category or 'a category')}** · "
        f"{_plain(description.backbone['model'])} · memory bank of {len(viewer.bank)} entries "
        f"({_plain(kind)}) · {_plain(viewer.runtime.arithmetic)}"
    )


def origin(description: ModelDescription, own: float | None) -> str:
    """Where a threshold came from."""
    if own is None or description.thresholds is None:
        return "The run set none: nothing is decided until you move this."
    source = description.thresholds.origin.get("from", "the run")
    return f"The model's own is {own:.6g}, from {source}."


def opened(examined: Examined) -> str:
    """An image's name and what the data set says of it."""
    height, width = examined.image.shape[:2]
    known = "" if examined.defect is None else f", {examined.defect}"
    return f"{examined.name}{known}, {height} x {width} pixels (height x width)"


def counts(scores: TestScores, threshold: float | None) -> str:
    """The test set at an image threshold."""
    if not len(scores):
        return "The run's folder has no predictions of its test set, so nothing can be counted."
    if threshold is None:
        return f"{len(scores)} test images; no threshold was set, so nothing is decided."
    found = scores.at(threshold)
    return (
        f"The {len(scores)} test images at {threshold:.6g}:\n\n"
        "| | called defect | called normal |\n|---|---|---|\n"
        f"| defect | TP {found.true_positives} | FN {found.false_negatives} |\n"
        f"| normal | FP {found.false_positives} | TN {found.true_negatives} |"
    )


def findings(
    examined: Examined, image_threshold: float | None, pixel_threshold: float | None
) -> str:
    """What thresholds say of one image."""
    found = judge(examined.scored, image_threshold=image_threshold, pixel_threshold=pixel_threshold)
    lines = [f"Score **{found.score:.6g}**" + _decision(found.decision, examined.label)]
    if pixel_threshold is not None:
        lines.append(f"{found.area} pixels are at or above {pixel_threshold:.6g}")
        if found.box is not None:
            top, left, height, width = found.box
            lines[-1] += f"; their largest region is {height} x {width} at row {top}, column {left}"
        if examined.mask is not None and examined.label:
            pixels = tally_pixels(examined.heat, examined.mask, pixel_threshold)
            true = pixels.true_positives + pixels.false_negatives
            lines.append(
                f"Of the {true} defect pixels that were scored {pixels.true_positives} are among "
                f"them, and {pixels.false_positives} normal ones"
            )
    return "\n\n".join(f"{line}." for line in lines)


def patch(examined: Examined, clicked: Patch, bank: Bank) -> str:
    """A patch's distances to its nearest entries, and what those are."""
    top, left, height, width = clicked.box
    row, column = clicked.position
    rows, columns = examined.grid
    lines = [
        f"Patch at row {row}, column {column} of {rows} x {columns}: pixels {top} to "
        f"{top + height - 1} down, {left} to {left + width - 1} across.",
        "",
        "| neighbour | distance | entry of the memory bank | what it is |",
        "|---|---|---|---|",
    ]
    for number, (entry, distance) in enumerate(
        zip(clicked.entries, clicked.distances, strict=True), 1
    ):
        what = bank.describe(entry, examined.grid)
        lines.append(f"| {number} | {distance:.6g} | {entry} of {len(bank)} | {what} |")
    return "\n".join(lines)


def searching(viewer: Viewer) -> str:
    """What is going on after a click."""
    count = 0 if viewer.table is None else len(viewer.table.train)
    return f"looking for the neighbours' training patches in {count} training images ..."


def _decision(decision: int | None, label: int | None) -> str:
    if decision is None:
        return ", no decision without a threshold"
    called = "a defect" if decision else "normal"
    if label is None:
        return f", called {called}"
    outcome = {(1, 1): "TP", (1, 0): "FP", (0, 1): "FN", (0, 0): "TN"}[decision, label]
    return f", called {called} ({outcome})"


def _plain(text: str) -> str:
    """Words from a file, as the page's language takes them for words."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+!|<>&~$" else c for c in " ".join(text.split()))
