"""The descriptor solved for in one pass beside its training by steps, on the same features."""

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from cfa_lab.bench.clock import now
from cfa_lab.bench.pictures import CATEGORY, write_category
from cfa_lab.bench.processes import in_own_process
from cfa_lab.bench.report import new_parser, ratio_to, show
from cfa_lab.bench.run import ARCHITECTURES, architecture
from cfa_lab.config import Settings, load_settings
from cfa_lab.data.geometry import Geometry
from cfa_lab.data.layouts import read_samples
from cfa_lab.features.extract import Extractor
from cfa_lab.features.networks import make_network
from cfa_lab.method.backbone import Architecture, Backbone
from cfa_lab.training.fit import detector_of, new_fit, train
from cfa_lab.training.state import Observer

JUDGE = "adamw"
CONTESTANTS = (JUDGE, "closed_form")


def run_bench_fit(
    backbone: str = "resnet18",
    *,
    num_train: int = 200,
    size: int = 224,
    epochs: int = 30,
    measured_epochs: int = 1,
) -> dict[str, Any]:
    """Time a fit of `lab` on features of made-up images, from the pyramid to the detector.

    Each contestant in its own process, compiled code warm. Of training by steps `measured_epochs`
    are timed and scaled to `epochs`; both make the memory bank that the preset has. Returns
    `setting` and `results`: `seconds`, `peak_bytes` beyond the features, and `ratio`.
    """
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_category(folder, num_train=num_train, num_test=1, size=size)
        for name in CONTESTANTS:
            arguments = (name, folder, backbone, size, epochs, measured_epochs)
            result, _ = in_own_process(_fit, *arguments, torch.get_num_threads())
            results[name] = result
    ratio_to(results, JUDGE)
    setting = {"backbone": backbone, "num_train": num_train, "size": size, "epochs": epochs}
    return {"setting": setting | {"threads": torch.get_num_threads()}, "results": results}


def _fit(
    name: str,
    root: Path,
    backbone: str,
    size: int,
    epochs: int,
    measured_epochs: int,
    num_threads: int,
) -> dict[str, Any]:
    torch.set_num_threads(num_threads)
    parts = architecture(backbone)
    extractor = Extractor(
        backbone=Backbone(Architecture(**parts), make_network(parts["model"], weights="random")),
        geometry=Geometry(resize="stretch", height=size, width=size),
        device=torch.device("cpu"),
        dtype="half",
        precision="exact",
        batch_size=8,
        workers=2,
    )
    table = read_samples("mvtec", root, CATEGORY)
    levels = extractor.collect([table.absolute(sample.path) for sample in table.train])
    settings = load_settings("lab")
    settings.optimizer.name = name
    if name == JUDGE:
        settings.trainer.epochs = measured_epochs

    parts = fit_seconds(levels, settings, torch.device("cpu"))
    if name == JUDGE:
        parts["descriptor"] *= epochs / measured_epochs
    return {"seconds": sum(parts.values()), "parts": parts}


def fit_seconds(
    levels: Sequence[Any], settings: Settings, device: torch.device
) -> dict[str, float]:
    """Seconds of each part of a fit to pooled maps: `bank`, `descriptor`, `coreset`.

    After a first fit to few images, which compiles, or loads what is compiled.
    """

    def measure(levels: Sequence[Any]) -> dict[str, float]:
        times = [now(device)]
        fit = new_fit(levels, settings, pooled=True, device=str(device))
        times.append(now(device))
        train(fit, Observer())
        times.append(now(device))
        detector_of(fit)
        times.append(now(device))
        parts = zip(("bank", "descriptor", "coreset"), pairwise(times), strict=True)
        return {part: after - before for part, (before, after) in parts}

    measure([level[:4] for level in levels])
    return measure(levels)


def main(argv: list[str]) -> None:
    """`python -m cfa_lab bench fit`: print the comparison, and write it with `--json`."""
    parser = new_parser("fit", __doc__)
    parser.add_argument("--backbone", choices=ARCHITECTURES, default="resnet18")
    parser.add_argument("--train", type=int, default=200, help="training images")
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    options = parser.parse_args(argv)
    report = run_bench_fit(options.backbone, num_train=options.train, size=options.size)
    show(
        f"fit of lab, {options.backbone}, {options.train} images of {options.size} pixels",
        report,
        {
            "seconds": lambda result: f"{result['seconds']:.2f}",
            "descriptor": lambda result: f"{result['parts']['descriptor']:.2f}",
            "coreset": lambda result: f"{result['parts']['coreset']:.2f}",
            "times faster": lambda result: f"{result['ratio']:.1f}",
        },
        options.json,
    )
