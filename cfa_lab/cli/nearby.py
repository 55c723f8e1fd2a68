"""The key that somebody probably meant: by another word for it, by its last part, by spelling."""

from collections.abc import Sequence
from difflib import get_close_matches

OTHER_WORDS = {
    "batchsize": "batch_size",
    "bs": "batch_size",
    "category_name": "category",
    "class": "category",
    "coreset_size": "entries",
    "cuda": "device",
    "data": "root",
    "data_dir": "root",
    "data_root": "root",
    "data_path": "root",
    "dir": "root",
    "directory": "root",
    "folder": "root",
    "path": "root",
    "gpu": "device",
    "gamma": "gamma_c",
    "image_size": "height",
    "img_size": "height",
    "iterations": "epochs",
    "max_epochs": "epochs",
    "num_epochs": "epochs",
    "learning_rate": "lr",
    "margin": "alpha",
    "model": "backbone.name",
    "network": "backbone.name",
    "neighbours": "num_neighbours",
    "neighbors": "num_neighbours",
    "num_workers": "workers",
    "object": "category",
    "output": "hydra.run.dir",
    "output_dir": "hydra.run.dir",
    "out": "hydra.run.dir",
    "radius": "r",
    "random_seed": "seed",
    "smoothing": "sigma",
    "threads": "num_threads",
    "top_k": "K",
    "val_fraction": "validation_fraction",
    "wd": "weight_decay",
}
"""What others call it -> the last part of our key, or all of it."""

FIRST = ("optimizer", "trainer", "loss", "dataset", "image", "memory_bank", "scoring", "features")
"""Groups in the order in which they are meant where several have such a key."""


def meant(name: str, known: Sequence[str]) -> str | None:
    """The known key that an unknown one stands for, as far as can be told."""
    group, _, last = name.rpartition(".")
    word = last.lower().replace("-", "_")
    word = OTHER_WORDS.get(word, OTHER_WORDS.get(word.replace("_", ""), word))
    if "." in word:
        return word
    same = [key for key in known if key.rpartition(".")[2].lower() == word.lower()]
    if same:  # the same group first, then the same letter case: K is not k
        return min(
            same,
            key=lambda key: (
                key.rpartition(".")[0] != group,
                key.rpartition(".")[2] != word,
                _rank(key),
            ),
        )
    close = get_close_matches(name, known, n=1) or get_close_matches(
        word, [key.rpartition(".")[2] for key in known], n=1
    )
    if not close:
        return None
    ending = [key for key in known if key == close[0] or key.endswith(f".{close[0]}")]
    return min(ending, key=_rank)


def unknown_key(name: str, known: Sequence[str]) -> str:
    """The message about a key that is none of `known`."""
    near = meant(name, known)
    close = f" (did you mean {near!r}?)" if near and near != name else ""
    about = near.partition(".")[0] if near and not near.startswith("hydra") else ""
    more = f"python -m cfa_lab explain {about}".rstrip()
    if name.startswith("hydra.launcher."):
        more = "docs/sweeps.md"
    return f"unknown key {name!r}{close}; {more} tells the keys"


def _rank(key: str) -> int:
    group = key.partition(".")[0]
    return FIRST.index(group) if group in FIRST else len(FIRST)
