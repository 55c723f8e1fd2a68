"""How far off is what others print? Legacy metrics beside exact ones, on the maps of real runs.

Of the same model and test images, what would the CFA authors' code, adeval (ADer, INP-Former),
anomalib, or an evaluation at 256 x 256 have printed in place of the exact value?

    python experiments/metric_defects.py outputs/cookies --out experiments/results/metric_defects.md

Expected: exact values are those of `metrics.json` and keep every bit when the scores are stretched;
variants that bin or clamp scores differ, and differ more once stretched.
Cost, two busy cores: 1 minute, 1.6 GB (46 test images, 512 x 683); 9 minutes, 3.4 GB (582 images).
"""

import argparse
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch.nn.functional import interpolate

from cfa_lab.config import Config, conf_dir
from cfa_lab.data.samples import Sample
from cfa_lab.errors import UserError
from cfa_lab.evaluation.evaluate import sample_mask
from cfa_lab.evaluation.maps import score_images
from cfa_lab.files import write_atomically
from cfa_lab.metrics import AnomalyMetrics, legacy
from cfa_lab.records import names
from cfa_lab.records.record import read_record
from cfa_lab.run.prepare import choose_device, make_extractor, read_table, set_threads
from cfa_lab.training.model_files import load_detector

Row = tuple[str, dict[str, float]]  # a variant in words, and its metrics by our names
STRETCH = 6.0
MARK = "<!-- From here on written by experiments/metric_defects.py; what stands above is kept. -->"


@dataclass(frozen=True)
class Scored:
    """Images with their maps and masks (h, w) each, labels and scores."""

    maps: list[np.ndarray]
    masks: list[np.ndarray]
    labels: list[int]
    scores: np.ndarray

    def changed(self, pixels: Callable[..., Any], images: Callable[..., Any]) -> "Scored":
        """The same images with pixel and image scores passed through a function each."""
        return replace(self, maps=[pixels(m) for m in self.maps], scores=images(self.scores))

    def measure(self) -> tuple[dict[str, float], dict[str, float]]:
        """Our metrics of these scores, and the thresholds of the highest F1."""
        metrics = AnomalyMetrics()
        metrics.update(self.maps, self.masks, labels=self.labels, scores=self.scores)
        return {name: float(value) for name, value in metrics.compute().items()}, metrics.oracle()


def study(folder: Path) -> str:
    """A complete run's part of the report, in Markdown: scored again and measured in every way."""
    record = read_record(folder)
    if record is None or record["status"] != "complete" or record["undefined"]:
        raise UserError(f"{folder} holds no complete run with all metrics; give folders that do")
    test, normal = score_again(folder, record)
    rows = [*score_variants(test, normal), *size_variants(test)]
    change = partial(stretch, **extremes(test.maps))
    moved = [*score_variants(test.changed(change, change), normal.changed(change, change))]
    exact, before = rows[0], rows[: len(moved)]
    names = [name for name in exact[1] if f"test/{name}" in record["metrics"]]
    error = max(abs(exact[1][name] - record["metrics"][f"test/{name}"]) for name in names)
    facts = [*provenance(folder, record), f"Exact minus `metrics.json`: at most {error:.0e}."]
    if "oracle/best_pixel_auroc" in (oracle := record["oracle"]):
        rows.append(("best epoch of each", {k: oracle[f"oracle/best_{k}"] for k in names}))
        epochs = ", ".join(f"{k} {oracle[f'oracle/best_{k}_epoch']}" for k in names)
        facts.append(f"Best epochs, counted from 0: {epochs}.")
    parts = [f"## {folder}", "  \n".join(facts), table(rows, [exact] * len(rows))]
    title = f"After s -> exp({STRETCH:g} (s - min) / (max - min)); in brackets the change by it:"
    return "\n\n".join([*parts, title, table(moved, before)])


def score_again(folder: Path, record: dict[str, Any]) -> tuple[Scored, Scored]:
    """A run's test images, and its held-out (or else training) images, by its saved model."""
    schema, folders = OmegaConf.structured(Config), conf_dir().glob("*/default.yaml")
    later = {path.parent.name: OmegaConf.load(path) for path in folders}  # keys newer than the run
    config: Any = OmegaConf.to_object(OmegaConf.merge(schema, later, record["config"]))
    set_threads(record["environment"]["num_threads"])  # decides the last bits
    table, device = read_table(config), choose_device(config.device)
    extractor, _ = make_extractor(config, device)
    detector = load_detector(folder).to(device)

    def score(samples: Sequence[Sample]) -> Scored:
        maps, masks, scores = [], [], []
        for scored, window_map in score_images(detector, extractor, table, samples):
            if (mask := sample_mask(table, scored.sample, scored.placement)) is None:
                raise UserError(f"{scored.sample.path} has no mask; each defect image needs one")
            top, left, height, width = scored.placement.window
            maps.append(window_map.cpu().numpy())
            masks.append(mask[top : top + height, left : left + width])
            scores.append(scored.score)
        return Scored(maps, masks, [s.label for s in samples], np.array(scores, np.float32))

    return score(table.test), score(table.validation or table.train)


def score_variants(test: Scored, normal: Scored) -> Iterator[Row]:
    """The exact metrics, then the variants that see more of the scores than their order."""
    (exact, best), maps, masks = test.measure(), test.maps, test.masks
    yield "**exact**", exact
    yield "authors' AUPRO", {"aupro_30": legacy.authors_aupro(maps, masks)}
    for user, num_strips in (("ADer", 50), ("INP-Former", 200), ("default", 1000)):
        bins = legacy.equal_width(maps, masks, num_strips=num_strips)
        areas = {"pixel_auroc": bins.auroc, "pixel_ap": bins.aupr, "aupro_30": bins.aupro}
        yield f"adeval, {num_strips} strips ({user})", areas
    yield "ADer, 21 steps", {"pixel_f1max": legacy.evenly_spaced_f1max(maps, masks)}
    thresholds = best["pixel_f1max_threshold"], best["image_f1max_threshold"]
    yield "anomalib, validation = test", clamped(test, test, *thresholds)
    thresholds = extremes(normal.maps)["high"], extremes([normal.scores])["high"]
    yield "anomalib, normal validation", clamped(test, normal, *thresholds)


def clamped(test: Scored, validation: Scored, pixel: float, image: float) -> dict[str, float]:
    """Exact metrics of what anomalib makes of scores, by its validation set and two thresholds."""
    of_pixels, of_images = extremes(validation.maps), extremes([validation.scores])
    pixels = partial(legacy.normalise_and_clamp, threshold=pixel, **of_pixels)
    images = partial(legacy.normalise_and_clamp, threshold=image, **of_images)
    return test.changed(pixels, images).measure()[0]


def size_variants(test: Scored) -> Iterator[Row]:
    """Metrics of maps and masks resized to 256 x 256, bilinear with antialiasing."""
    resize = partial(interpolate, size=(256, 256), mode="bilinear", antialias=True)
    small = test.changed(lambda m: resize(torch.from_numpy(m)[None, None])[0, 0], np.copy)
    for above in (0.0, 0.5):
        masks = [legacy.resize_mask(mask, above=above) for mask in test.masks]
        yield f"256 x 256, mask > {above:g}", replace(small, masks=masks).measure()[0]


def stretch(scores: np.ndarray, *, low: float, high: float) -> np.ndarray:
    """The same order with a long tail; float64, in which no two different float32 scores meet."""
    return np.exp(STRETCH * (scores.astype(np.float64) - low) / (high - low))


def extremes(arrays: Sequence[np.ndarray]) -> dict[str, float]:
    """`low` and `high` of all arrays together."""
    return {"low": float(min(map(np.min, arrays))), "high": float(max(map(np.max, arrays)))}


def provenance(folder: Path, record: dict[str, Any]) -> list[str]:
    """The command that made a run, its folder as given here; machine, date and images."""
    where = record["environment"]
    given = [a for a in where["command"][1:] if not a.startswith("hydra.run.dir=")]
    written = datetime.fromtimestamp((folder / names.RECORD).stat().st_mtime, timezone.utc)
    return [
        f"`python -m cfa_lab {shlex.join([*given, f'hydra.run.dir={folder}'])}`",
        f"{written:%F} on {where['processor']}, device {where['device']}, {where['num_threads']} "
        f"threads, torch {where['packages']['torch']}, commit {where['git_commit']}.",
        "Images: {num_train} for training, {num_validation} held out, {num_test_normal} normal "
        "and {num_test_defect} defect for testing.".format(**record["protocol"]),
    ]


def table(rows: Sequence[Row], references: Sequence[Row]) -> str:
    """Values and, in brackets unless zero to the last bit, what they differ by from references."""
    columns = list(rows[0][1])
    lines = [f"| | {' | '.join(columns)} |", "|---" + "|---:" * len(columns) + "|"]
    for (variant, row), (_, reference) in zip(rows, references, strict=True):
        cells = dict.fromkeys(columns, "")
        for name, value in row.items():
            change = value - reference[name]
            cells[name] = f"{value:.4f}" + (f" ({change:+.4f})" if abs(change) > 0 else "")
        lines.append(f"| {variant} | {' | '.join(cells.values())} |")
    return "\n".join(lines)


def main() -> None:
    """Study the runs; print the report and put it below what a person wrote in the file."""
    parser = argparse.ArgumentParser(description="Legacy metrics beside exact ones, on real runs.")
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUN_FOLDER")
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    options = parser.parse_args()
    try:
        report = "\n\n".join(map(study, options.folders))
    except UserError as error:
        parser.error(str(error))
    print(report)
    above = options.out.read_text(encoding="utf-8") if options.out.is_file() else ""
    write_atomically(options.out, f"{above.partition(MARK)[0]}{MARK}\n\n{report}\n")


if __name__ == "__main__":
    main()
