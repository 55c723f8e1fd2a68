"""What the commands that use a model have in common: the arguments that name it."""

import argparse

from cfa_lab.deploy.load import EXPORTED, model_folder, open_runtime
from cfa_lab.deploy.runtime import Runtime
from cfa_lab.files import user_path


def add_model(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which model is used, and how."""
    parser.add_argument(
        "run",
        type=user_path,
        help="a run folder, a model's folder from W&B, or a file that export wrote",
    )
    add_network(parser)
    parser.add_argument(
        "--threads", type=int, metavar="N", help="CPU threads; default: as many as the run had"
    )
    parser.add_argument(
        "--batch-size", type=int, metavar="N", help="of a run's model; default: the run's"
    )


def add_network(parser: argparse.ArgumentParser) -> None:
    """The arguments about a run's network: where it works and where it comes from."""
    parser.add_argument("--device", default="cpu", help="of a run's model; default: cpu")
    parser.add_argument(
        "--backbone-weights", metavar="FILE", help="where the run's backbone weights are now"
    )
    parser.add_argument(
        "--trust-code",
        action="store_true",
        help="import the network that the model names, where it is not timm's",
    )


def open_model(options: argparse.Namespace) -> Runtime:
    """The model a command line names; a run's own runs with the run's number of threads."""
    path, num_threads = options.run.expanduser(), options.threads
    if num_threads is None and path.suffix.lower() not in EXPORTED:
        from cfa_lab.training.model_files import load_description

        num_threads = load_description(model_folder(path)).num_threads
    return open_runtime(
        path,
        device=options.device,
        num_threads=num_threads,
        batch_size=options.batch_size or (1 if getattr(options, "watch", None) else None),
        backbone_weights=options.backbone_weights,
        trust_code=options.trust_code,
    )
