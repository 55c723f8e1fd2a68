"""The key that somebody probably meant: by another word for it, by its last part, by spelling."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

OTHER_WORDS = {
    **dict.fromkeys(("batch", "batchsize", "bs"), "trainer.batch_size"),
    **dict.fromkeys(("epoch", "iterations", "iters", "steps"), "trainer.epochs"),
    **dict.fromkeys(("learning_rate", "learningrate"), "optimizer.lr"),
    "wd": "optimizer.weight_decay",
    **dict.fromkeys(("n_jobs", "jobs", "threads", "cores"), "trainer.num_threads"),
    "workers": "features.workers",
    **dict.fromkeys(("gpu", "num_gpus", "cuda", "cpu", "accelerator"), "device"),
    **dict.fromkeys(("random_seed", "random_state", "manual_seed", "deterministic"), "seed"),
    **dict.fromkeys(("amp", "fp16", "bf16", "half", "mixed_precision"), "trainer.precision"),
    **dict.fromkeys(("checkpoint", "ckpt", "continue", "restart"), "resume"),
    **dict.fromkeys(("class", "classes", "object", "product"), "category"),
    **dict.fromkeys(
        ("data", "data_root", "path", "dir", "directory", "folder", "train", "test", "images"),
        "dataset.root",
    ),
    **dict.fromkeys(("type", "format", "data_format", "csv"), "dataset.layout"),
    **dict.fromkeys(("mask", "gt", "ground_truth", "annotations"), "dataset.masks"),
    **dict.fromkeys(("good", "ok"), "dataset.normal"),
    **dict.fromkeys(("bad", "ng", "anomalies", "abnormal"), "dataset.defects"),
    **dict.fromkeys(("limit", "shots", "few_shot", "train_limit"), "dataset.limit_train"),
    **dict.fromkeys(("num_train", "n_train", "train_size", "num_images"), "dataset.limit_train"),
    **dict.fromkeys(
        ("val", "validation", "val_split", "validation_split", "val_ratio", "val_fraction"),
        "dataset.validation_fraction",
    ),
    **dict.fromkeys(("test_size", "test_split", "test_ratio"), "dataset.test_fraction"),
    **dict.fromkeys(
        ("image_size", "img_size", "imgsz", "input_size", "resolution", "size", "scale"),
        "image.height",
    ),
    **dict.fromkeys(("center_crop", "centre_crop", "crop_size"), "image.crop"),
    **dict.fromkeys(("tile", "tiling", "tile_size", "patch_size"), "image.resize"),
    "stride": "image.overlap",
    **dict.fromkeys(("depth", "bit_depth"), "image.bits"),
    **dict.fromkeys(("model", "network", "arch", "architecture", "encoder"), "backbone.name"),
    **dict.fromkeys(("pretrained", "checkpoint_path"), "backbone.weights"),
    "layer": "backbone.layers",
    **dict.fromkeys(("coreset", "bank", "memory"), "memory_bank.kind"),
    **dict.fromkeys(("coreset_size", "memory_size", "num_entries"), "memory_bank.entries"),
    **dict.fromkeys(
        ("gamma", "coreset_ratio", "sampling_ratio", "subsample"), "memory_bank.gamma_c"
    ),
    "margin": "loss.alpha",
    **dict.fromkeys(("radius", "soft_boundary"), "loss.r"),
    **dict.fromkeys(("top_k", "topk", "knn", "nn"), "loss.K"),
    **dict.fromkeys(("hard_negatives", "num_hard", "num_negatives"), "loss.J"),
    **dict.fromkeys(
        ("neighbours", "neighbors", "n_neighbors", "num_neighbors"), "scoring.num_neighbours"
    ),
    **dict.fromkeys(("smoothing", "smooth", "blur", "gaussian", "gauss"), "scoring.sigma"),
    "pooling": "scoring.reducer",
    **dict.fromkeys(("thr", "image_threshold", "threshold_rule"), "evaluation.threshold"),
    **dict.fromkeys(("pixel_threshold", "contamination"), "evaluation.quantile"),
    **dict.fromkeys(("kfold", "k_fold", "cross_validation", "cv"), "evaluation.folds"),
    **dict.fromkeys(("bootstrap", "confidence", "ci", "intervals"), "evaluation.resamples"),
    **dict.fromkeys(("figures", "plots", "heatmaps", "save_images"), "evaluation.cases"),
    "save_maps": "evaluation.maps",
    **dict.fromkeys(("metrics",), "evaluation"),
    **dict.fromkeys(("cache_dir", "cache_folder"), "features.folder"),
    **dict.fromkeys(("ram", "max_memory"), "features.memory_gb"),
    **dict.fromkeys(("wandb", "logger", "log", "mlflow", "tensorboard"), "tracker.name"),
    **dict.fromkeys(("offline", "online"), "tracker.mode"),
    **dict.fromkeys(("team", "account"), "tracker.entity"),
    "tags": "tracker.tags",
    **dict.fromkeys(("config", "exp"), "experiment"),
    **dict.fromkeys(
        ("output", "out", "outdir", "save_dir", "logdir", "log_dir", "name", "run_name"),
        "hydra.run.dir",
    ),
}
"""What others call it -> our key."""

OTHER_GROUPS = {
    **dict.fromkeys(("model", "network", "encoder"), "backbone"),
    **dict.fromkeys(("data", "datamodule"), "dataset"),
    **dict.fromkeys(("train", "training"), "trainer"),
    **dict.fromkeys(("eval", "metrics", "val", "test"), "evaluation"),
    **dict.fromkeys(("optim", "optimiser"), "optimizer"),
    **dict.fromkeys(("wandb", "logger"), "tracker"),
    **dict.fromkeys(("bank", "memory"), "memory_bank"),
    **dict.fromkeys(("img", "images", "input"), "image"),
}
"""Likewise for groups."""

FIRST = ("optimizer", "trainer", "loss", "dataset", "image", "memory_bank", "scoring", "features")
"""Groups in the order in which they are meant where several have such a key."""

_AROUND = re.compile(r"^(?:n|num|max|min|use)_|_(?:dir|path|folder|directory|root|name|file)$")
"""What may be left out of a word."""

LIKE = 0.75
"""How like in spelling two words have to be, from 0 to 1; below it, other words are found."""


def meant(name: str, known: Sequence[str]) -> str | None:
    """The known key that an unknown one stands for, as far as can be told."""
    group, _, last = name.rpartition(".")
    ours = OTHER_GROUPS.get(group.lower(), group)
    word = last.lower().replace("-", "_")
    forms = [word, word.replace("_", ""), _AROUND.sub("", word)]
    forms = dict.fromkeys([*forms, f"{word}s", word.rstrip("s")])
    in_group = [key for key in known if key.rpartition(".")[0] == ours]
    for form in forms if group else ():
        other = OTHER_WORDS.get(form, "").rpartition(".")[2]
        if found := _called(form, in_group, last) or _called(other, in_group, last):
            return found
    for form in forms:
        other = OTHER_WORDS.get(form, "")
        if other and (not group or other.startswith(f"{ours}.") or form not in _lasts(known)):
            return other
        if found := _called(form, known, last):
            return found
    if not group and word in OTHER_GROUPS:
        return OTHER_GROUPS[word]
    ends = [last for last in _lasts(known) if len(last) > 1 and word.endswith(f"_{last}")]
    if ends:  # train_batch_size
        return _called(max(ends, key=len), known, last)
    close = get_close_matches(name, known, n=1, cutoff=LIKE)
    if not close and in_group:
        close = get_close_matches(f"{ours}.{last}", in_group, n=1, cutoff=LIKE)
    if close:
        return close[0]
    close = get_close_matches(word, [*_lasts(known)], n=1, cutoff=LIKE)
    return _called(close[0], known, last) if close else None


def unknown_key(name: str, known: Sequence[str]) -> str:
    """The message about a key that is none of `known`."""
    if name.partition(".")[0] in ("hydra", "hydra/launcher", "hydra/sweeper"):
        known = [key for key in known if key.startswith("hydra.")]
        near = next(iter(get_close_matches(name, known, n=1)), None)
    else:
        near = meant(name, known)
    close = f" (did you mean {near!r}?)" if near and near != name else ""
    about = near.partition(".")[0] if near and not near.startswith("hydra") else ""
    more = f"python -m cfa_lab explain {about}".rstrip()
    if name.startswith("hydra"):
        more = "docs/sweeps.md"
    return f"unknown key {name!r}{close}; {more} tells the keys"


def _called(word: str, keys: Sequence[str], typed: str) -> str | None:
    """The key whose last part is a word, in any letter case; the case as typed goes first."""
    same = [key for key in keys if key.rpartition(".")[2].lower() == word.lower()]
    return min(same, key=lambda key: (key.rpartition(".")[2] != typed, _rank(key)), default=None)


def _lasts(keys: Sequence[str]) -> set[str]:
    return {key.rpartition(".")[2] for key in keys}


def _rank(key: str) -> int:
    group = key.partition(".")[0]
    return FIRST.index(group) if group in FIRST else len(FIRST)
