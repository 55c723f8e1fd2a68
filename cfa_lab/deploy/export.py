"""`python -m cfa_lab export RUN`: a run's model as a file for another runtime, or on its own."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cfa_lab.deploy.exported import OPENERS
from cfa_lab.deploy.load import EXPORTED, model_folder
from cfa_lab.errors import Parser, UserError
from cfa_lab.files import user_path

MODEL = "model"
PRECISIONS = ("float32", "float16", "bf16", "int8")  # formats.py says which format has which
SUFFIXES = {kind: suffix for suffix, kind in EXPORTED.items()}


def main(arguments: list[str]) -> None:
    """Export and say what the gate saw."""
    parser = Parser(
        prog="python -m cfa_lab export",
        description="Write the model of a run for another runtime. It is kept only if it scores "
        "like the original on images of the run and on random ones.",
    )
    parser.add_argument("run", type=user_path, help="a run folder, or a model's folder from W&B")
    parser.add_argument(
        "--format",
        required=True,
        choices=(*OPENERS, MODEL),
        help="onnx: one .onnx; openvino: .xml and .bin; torch: a torch.export program, .pt2; "
        "model: a model's folder",
    )
    parser.add_argument("--out", type=user_path, metavar="FILE", help="default: model.* in the run")
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="float32",
        help="float16 and bf16: openvino; int8 (of convolutions): onnx and openvino",
    )
    parser.add_argument(
        "--most-lost",
        type=float,
        default=0.01,
        metavar="X",
        help="what a reduced precision may take from a metric of the test set (default 0.01)",
    )
    parser.add_argument(
        "--include-backbone", action="store_true", help="with model: the backbone's weights inside"
    )
    parser.add_argument(
        "--backbone-weights", metavar="FILE", help="where the run's backbone weights are now"
    )
    options = parser.parse_args(arguments)
    if options.include_backbone and options.format != MODEL:
        raise UserError(
            f"--include-backbone goes with --format {MODEL}; {options.format} files always hold it"
        )
    if options.format == MODEL and options.precision != "float32":
        raise UserError(f"--format {MODEL} keeps what was trained; leave out --precision")
    folder = model_folder(options.run.expanduser())
    out = _out(options, folder)
    from cfa_lab.deploy.exporting import export, export_model  # torch, once all else is settled
    from cfa_lab.deploy.runtime_torch import load_run

    runtime = load_run(folder, backbone_weights=options.backbone_weights)
    if options.format == MODEL:
        export_model(runtime, out, include_backbone=options.include_backbone)
        print(f"{out}: the model, {'with' if options.include_backbone else 'without'} its backbone")
        return
    exported = export(
        runtime,
        folder,
        out,
        kind=options.format,
        precision=options.precision,
        most_lost=options.most_lost,
    )
    print("\n".join(_told(out, exported.arithmetic, exported.export)))


def _out(options: argparse.Namespace, folder: Path) -> Path:
    """Where to write; raises UserError for a name that another format would have."""
    suffix = SUFFIXES.get(options.format, "")
    if options.out is None:
        reduced = "" if options.precision == "float32" else f"-{options.precision}"
        return folder / ("exported" if options.format == MODEL else f"model{reduced}{suffix}")
    out = options.out.expanduser()
    if suffix and out.suffix != suffix:
        raise UserError(f"--out is {out}; a file of format {options.format} ends in {suffix}")
    if options.format == MODEL and out.absolute() == folder.absolute():
        raise UserError(f"--out is the run itself, {out}; give another folder")
    return out


def _told(out: Path, arithmetic: str, export: Mapping[str, Any]) -> list[str]:
    """What is said of a file that was kept."""
    parity = export["parity"]
    lines = [
        f"{out}: {export['format']}, {export['precision']} ({arithmetic})",
        f"largest relative difference to the run's model over {parity['num_images']} images: "
        f"scores {parity['scores']:.1e}, maps {parity['maps']:.1e}"
        + (f" (allowed {export['bound']:.0e})" if "bound" in export else ""),
    ]
    if not export["real_images"]:
        lines.append("the run's images are not where they were: compared on random images only")
    if "metrics" in export:
        original, exported = export["metrics"]["original"], export["metrics"]["exported"]
        lines += [
            f"test/{name}: {_number(original[name])} -> {_number(exported[name])}"
            f" (may lose {export['most_lost']:g})"
            for name in original
        ]
    return lines


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6f}"
