"""A trained detector from wherever it is kept: a run folder, a model's folder, an exported file."""

from pathlib import Path

from cfa_lab.deploy.runtime import Runtime
from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.record import record_of

EXPORTED = {".onnx": "onnx", ".xml": "openvino", ".pt2": "torch"}
"""An exported file's suffix -> its format."""


def open_runtime(
    path: Path,
    *,
    device: str = "cpu",
    num_threads: int | None = None,
    batch_size: int | None = None,
    backbone_weights: str | None = None,
    trust_code: bool = False,
) -> Runtime:
    """What scores images with the model at `path`; imports no more than its format needs.

    `num_threads` fixes the CPU threads of the process (torch) or of the model (others); None keeps
    what is set, but for a run's model, where the command line asks for the run's number. Raises
    UserError where there is no model, or one that cannot be used here.
    """
    kind = EXPORTED.get(path.suffix.lower()) if path.is_file() else None
    if kind is not None:
        from cfa_lab.deploy.exported import open_exported

        return open_exported(path, kind, num_threads=num_threads)
    folder = model_folder(path)
    import torch

    from cfa_lab.deploy.runtime_torch import load_run

    if num_threads is not None:
        torch.set_num_threads(num_threads)
    return load_run(
        folder,
        device=device,
        batch_size=batch_size,
        backbone_weights=backbone_weights,
        trust_code=trust_code,
    )


def model_folder(path: Path) -> Path:
    """The folder that holds a run's model: that of the run which a reused one stands for.

    Raises UserError, saying what is there instead.
    """
    if path.name in (names.MODEL, names.MODEL_DESCRIPTION):
        path = path.parent
    reused = record_of(path).get("reused_from")
    folder = path / reused if reused else path
    if (folder / names.MODEL_DESCRIPTION).is_file():
        return folder
    if not path.exists():
        raise UserError(f"{path} does not exist; give a run folder or an exported model's file")
    if path.is_file():
        raise UserError(
            f"{path} is no model; allowed: a run folder, or a file that export wrote "
            f"({', '.join(EXPORTED)})"
        )
    if (path / names.STATE).is_file():
        raise UserError(
            f"{path} holds an unfinished run; finish it with: python -m cfa_lab resume={path}"
        )
    below = sorted(file.parent for file in path.glob(f"*/{names.MODEL_DESCRIPTION}"))
    hint = f"; runs below it: {', '.join(map(str, below[:3]))}" if below else ""
    raise UserError(f"{path} holds no trained model ({names.MODEL_DESCRIPTION} is missing){hint}")
