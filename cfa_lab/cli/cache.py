"""`python -m cfa_lab cache`: what the feature store holds, and making it smaller."""

from collections import defaultdict
from datetime import datetime
from pathlib import Path

from omegaconf import OmegaConf

from cfa_lab.config import conf_dir
from cfa_lab.errors import Parser, UserError
from cfa_lab.features.folder import GIGABYTE, StoredFile, stored_files, trim
from cfa_lab.features.weights_hashes import forget
from cfa_lab.files import user_path
from cfa_lab.texts import parse_json, refuse_no_file


def main(arguments: list[str]) -> None:
    """List the store, or delete from it what is asked."""
    parser = Parser(
        prog="python -m cfa_lab cache",
        description="List the stored features, most recently used last; a line for each kind.",
    )
    parser.add_argument(
        "--folder", type=user_path, help="the store; default: CFA_LAB_CACHE, else ~/.cache/cfa_lab"
    )
    less = parser.add_mutually_exclusive_group()
    less.add_argument("--clear", action="store_true", help="delete all features")
    less.add_argument("--max-gb", type=float, metavar="N", help="keep the N * 10^9 bytes last used")
    options = parser.parse_args(arguments)
    folder = (options.folder or default_folder()).expanduser().absolute()
    if options.clear or options.max_gb is not None:
        _shrink(folder, 0 if options.clear else options.max_gb)
    else:
        _show(folder)


def default_folder() -> Path:
    """The folder that runs use unless `features.folder` says otherwise."""
    return Path(OmegaConf.load(conf_dir() / "features" / "default.yaml").folder)


def _shrink(folder: Path, max_gb: float) -> None:
    if not max_gb >= 0:
        raise UserError(f"--max-gb is {max_gb}; allowed: 0 or more")
    before = sum(file.num_bytes for file in stored_files(folder))
    after = trim(folder, max_gb * GIGABYTE)
    if not max_gb:
        forget(folder)
    print(f"{folder}: deleted {_size(before - after)}, kept {_size(after)}")


def _show(folder: Path) -> None:
    kinds: dict[str, list[StoredFile]] = defaultdict(list)
    files = stored_files(folder)
    for file in reversed(files):  # so that each kind begins with its last use
        kinds[file.path.parent.name].append(file)
    print(f"{folder}: {_size(sum(file.num_bytes for file in files))}")
    if kinds:
        print(f"{'images':>7}  {'size':>9}  {'last use':16}  features")
    for of_kind in reversed(kinds.values()):
        last = datetime.fromtimestamp(of_kind[0].last_use).strftime("%Y-%m-%d %H:%M")
        size = _size(sum(file.num_bytes for file in of_kind))
        print(f"{len(of_kind):>7}  {size:>9}  {last}  {_describe(of_kind[0].path)}")


def _describe(path: Path) -> str:
    """How an entry's features were made, in one line."""
    from safetensors import SafetensorError, safe_open

    try:
        refuse_no_file(path)
        with safe_open(path, "np") as file:
            identity = parse_json(file.metadata()["identity"])
        backbone, image = identity["backbone"], identity["image"]
        where = identity["device"]
        if "num_threads" in identity:
            where += f" (trainer.num_threads={identity['num_threads']})"
        size = f"{image['height']} x {image['width']}"
        if image["resize"] == "shorter_side":
            size = str(image["size"])
        if image["crop"]:
            size += f" crop {image['crop']}"
        parts = (backbone["model"], " ".join(backbone["layers"]), backbone["activation"])
        kept = f"{identity['dtype']}{' by bf16 products' if identity['bf16'] else ''}"
        made = (f"{image['resize']} {size}", kept, where)
        return ", ".join((*parts, *made, f"weights {identity['weights']}"))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        return f"damaged ({error})"


def _size(num_bytes: float) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes < GIGABYTE else f"{num_bytes / GIGABYTE:.2f} GB"
