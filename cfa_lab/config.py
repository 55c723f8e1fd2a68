"""The schema of a run's configuration: every key, its meaning and its checks.

The values stand in `conf/`: one file per group, presets and experiments on top. These dataclasses
give them types and bounds; `load_settings` reads the part that the method itself needs without
Hydra, for library users.
"""

import math
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import MISSING, OmegaConf

from cfa_lab.errors import UserError


def conf_dir() -> Path:
    """The configuration files' folder: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    for folder in (package.parent / "conf", package / "conf"):
        if (folder / "backbone" / "wide_resnet50.yaml").is_file():
            return folder
    raise UserError(f"no configuration files beside {package}; install cfa_lab again")


def _one_of(key: str, value: str, *allowed: str) -> None:
    if value not in allowed:
        raise UserError(f"{key} is {value!r}; allowed: {', '.join(allowed)}")


def _at_least(key: str, value: float | None, bound: float, *, above: bool = False) -> None:
    if value is None:
        return
    if not (math.isfinite(value) and (value > bound if above else value >= bound)):
        raise UserError(f"{key} is {value}; allowed: {'above' if above else 'at least'} {bound:g}")


@dataclass(kw_only=True)
class Backbone:
    """The frozen network whose maps are the features."""

    name: str = MISSING
    """What the run is called by; the option's name, or any timm name with `backbone=timm`."""
    model: str = MISSING
    """timm's name of the architecture."""
    layers: list[str] = MISSING
    """The maps taken, finest first; `a+b` concatenates two of one size."""
    weights: str = MISSING
    """`pretrained`, `random`, or the path of a .safetensors or .pth file."""
    release: str = MISSING
    """Which pretrained weights where there are two: `v1` or `v2`, keys of `tags`."""
    tags: dict[str, str] = MISSING
    """timm's tag of each release; empty for timm's own choice."""
    activation: str = MISSING
    """`relu` or `leaky`: ResNet maps after the activation, or before it through LeakyReLU(0.01)."""
    dimension_factor: int = MISSING
    """Descriptor outputs per feature before gamma_d; the authors' EfficientNet-B5 has 2."""
    divide_by_channels: bool = MISSING
    """Divide each level by its number of channels (authors' EfficientNet-B5)."""

    def __post_init__(self) -> None:
        _one_of("backbone.activation", self.activation, "relu", "leaky")
        _one_of("backbone.release", self.release, "v1", "v2")
        _at_least("backbone.dimension_factor", self.dimension_factor, 1)
        if not self.layers:
            raise UserError("backbone.layers is empty; name at least one map, finest first")


@dataclass(kw_only=True)
class Dataset:
    """Where the images are and which of them take part."""

    name: str = MISSING
    """What the data set is called in tables."""
    layout: str = MISSING
    """The folder layout: `mvtec`, or `toy`, which is made on first use."""
    root: str = MISSING
    """The folder that holds the categories."""
    limit_train: int | None = MISSING
    """Use only this many training images, drawn by `subset_seed`; null uses all."""
    subset_seed: int = MISSING
    """Seed of every draw of images: subsets and held-out parts."""
    validation_fraction: float = MISSING
    """Share of the training images held out to set thresholds without anomalies; 0 to < 1."""

    def __post_init__(self) -> None:
        _at_least("dataset.limit_train", self.limit_train, 1)
        _at_least("dataset.subset_seed", self.subset_seed, 0)
        if not 0 <= self.validation_fraction < 1:
            raise UserError(
                f"dataset.validation_fraction is {self.validation_fraction}; allowed: 0 to below 1"
            )


@dataclass(kw_only=True)
class Image:
    """From an image file to the network's input."""

    resize: str = MISSING
    """`stretch` to height x width, `letterbox` into it, or `shorter_side` to size, then crop."""
    height: int = MISSING
    """Pixels."""
    width: int = MISSING
    """Pixels."""
    size: int | None = MISSING
    """Length of the shorter side in pixels, for `shorter_side`."""
    crop: int | None = MISSING
    """Side of the square cut from the middle, in pixels; null cuts nothing, or after
    `shorter_side` height x width."""
    interpolation: str = MISSING
    """`lanczos` (authors' code), `bilinear` or `bicubic`."""

    def __post_init__(self) -> None:
        _one_of("image.resize", self.resize, "stretch", "shorter_side", "letterbox")
        _one_of("image.interpolation", self.interpolation, "lanczos", "bilinear", "bicubic")
        for key in ("height", "width", "size", "crop"):
            _at_least(f"image.{key}", getattr(self, key), 1)


@dataclass(kw_only=True)
class Features:
    """How backbone features are made and kept."""

    dtype: str = MISSING
    """Number type they are kept in: `half` or `float32`."""
    batch_size: int = MISSING
    """Images that pass the backbone at once; padded to this, so that rests round alike."""
    workers: int = MISSING
    """Threads that decode images."""
    cache: bool = MISSING
    """Keep features on disk, for all runs and processes."""
    folder: str = MISSING
    """Where they are kept."""
    max_gb: float = MISSING
    """The most they may take on disk, in 10^9 bytes; the least recently used go first."""
    memory_gb: float = MISSING
    """Training features up to this size, in 10^9 bytes, are held in memory (on a GPU, in its)."""

    def __post_init__(self) -> None:
        _one_of("features.dtype", self.dtype, "half", "float32")
        _at_least("features.batch_size", self.batch_size, 1)
        _at_least("features.workers", self.workers, 1)
        _at_least("features.max_gb", self.max_gb, 0, above=True)
        _at_least("features.memory_gb", self.memory_gb, 0)

    @property
    def extraction(self) -> dict[str, Any]:
        """The part that says how features are made, not where they are kept."""
        keeping = ("cache", "folder", "max_gb", "memory_gb")
        return {key: value for key, value in asdict(self).items() if key not in keeping}


@dataclass(kw_only=True)
class Descriptor:
    """The patch descriptor phi."""

    init: str = MISSING
    """`default` (PyTorch's, authors' code), `he` (paper) or `identity`."""
    coordinates: bool = MISSING
    """Whether row and column enter as two more features (CoordConv)."""
    gamma_d: int = MISSING
    """Divisor of the descriptor's dimension."""

    def __post_init__(self) -> None:
        _one_of("descriptor.init", self.init, "default", "he", "identity")
        _at_least("descriptor.gamma_d", self.gamma_d, 1)


@dataclass(kw_only=True)
class MemoryBank:
    """The memory bank C, the centres of the hyperspheres."""

    kind: str = MISSING
    """`mean`: mean map (authors' code); `ema`: first image, then average of matches (paper)."""
    gamma_c: int = MISSING
    """Divisor of the number of entries, by K-means."""
    beta: float = MISSING
    """Step of the moving average of `ema`, 0 to 1."""

    def __post_init__(self) -> None:
        _one_of("memory_bank.kind", self.kind, "mean", "ema")
        _at_least("memory_bank.gamma_c", self.gamma_c, 1)
        if not 0 <= self.beta <= 1:
            raise UserError(f"memory_bank.beta is {self.beta}; allowed: 0 to 1")


@dataclass(kw_only=True)
class Loss:
    """The coupled-hypersphere loss."""

    K: int = MISSING
    """Nearest entries that attract a patch."""
    J: int = MISSING
    """Hard negatives that repel it; 0 means no repulsion."""
    r: float = MISSING
    """Radius of the hyperspheres, its start where it is learned."""
    alpha: float = MISSING
    """Margin of the repulsion."""
    nu: float = MISSING
    """Both terms are divided by it."""
    learnable_radius: bool = MISSING
    """Train r (authors' code) or keep it (paper)."""
    negatives: str = MISSING
    """`after_k`: J entries after the K-th (paper); `from_j`: K after the J-th (authors' code)."""
    alpha_sign: str = MISSING
    """`minus` as printed and published, or `plus`."""
    squared: bool = MISSING
    """Compare r^2 with squared distances (authors' code) or plain ones (the paper's letter)."""

    def __post_init__(self) -> None:
        _at_least("loss.K", self.K, 1)
        _at_least("loss.J", self.J, 0)
        _at_least("loss.r", self.r, 0)
        _at_least("loss.alpha", self.alpha, 0)
        _at_least("loss.nu", self.nu, 0, above=True)
        _one_of("loss.negatives", self.negatives, "after_k", "from_j")
        _one_of("loss.alpha_sign", self.alpha_sign, "minus", "plus")


@dataclass(kw_only=True)
class Optimizer:
    """AdamW over the descriptor and, where learned, the radius."""

    lr: float = MISSING
    """Learning rate."""
    weight_decay: float = MISSING
    """Also on r, as in the authors' code."""
    amsgrad: bool = MISSING

    def __post_init__(self) -> None:
        _at_least("optimizer.lr", self.lr, 0, above=True)
        _at_least("optimizer.weight_decay", self.weight_decay, 0)


@dataclass(kw_only=True)
class Trainer:
    """How long and in what portions the descriptor is trained."""

    epochs: int = MISSING
    """Passes over the training images; 0 leaves the descriptor as it was initialised."""
    batch_size: int = MISSING
    """Images a step; never more than there are."""
    drop_last: bool = MISSING
    """Leave out an incomplete last batch (authors' code)."""
    precision: str = MISSING
    """`exact`: float32 throughout; `fast`: neighbours found in the fastest arithmetic at hand."""
    num_threads: int | None = MISSING
    """CPU threads; null takes all cores this process may use. Part of what fixes the last bits."""

    def __post_init__(self) -> None:
        _at_least("trainer.epochs", self.epochs, 0)
        _at_least("trainer.batch_size", self.batch_size, 1)
        _one_of("trainer.precision", self.precision, "exact", "fast")
        _at_least("trainer.num_threads", self.num_threads, 1)


@dataclass(kw_only=True)
class Scoring:
    """From distances to maps and image scores."""

    num_neighbours: int | None = MISSING
    """Distances in the softmin; null takes loss.K."""
    weighting: str = MISSING
    """`softmin` (authors' code) or `nearest`."""
    sigma: float = MISSING
    """Of the Gaussian, in input pixels; 0 smooths nothing."""
    border: str = MISSING
    """`reflect` (authors' code) or `mirror` (anomalib), scipy's names."""
    reducer: str = MISSING
    """Image score of a map: `max` or `top_mean`."""
    top_fraction: float = MISSING
    """Share of pixels that `top_mean` averages."""

    def __post_init__(self) -> None:
        _at_least("scoring.num_neighbours", self.num_neighbours, 1)
        _one_of("scoring.weighting", self.weighting, "softmin", "nearest")
        _at_least("scoring.sigma", self.sigma, 0)
        if self.sigma > 1000:
            raise UserError(f"scoring.sigma is {self.sigma}; allowed: 0 to 1000 input pixels")
        _one_of("scoring.border", self.border, "reflect", "mirror")
        _one_of("scoring.reducer", self.reducer, "max", "top_mean")
        if not 0 < self.top_fraction <= 1:
            raise UserError(f"scoring.top_fraction is {self.top_fraction}; allowed: above 0 to 1")


@dataclass(kw_only=True)
class Evaluation:
    """What is measured on the test set, and when."""

    every: int = MISSING
    """Also evaluate after every so many epochs, for curves; 0 only after the last."""
    aupro_limits: list[float] = MISSING
    """False-positive rates up to which AUPRO is integrated."""
    resamples: int = MISSING
    """Bootstrap draws of the test set for the 95 % interval of each metric; 0 computes none."""
    spill_gb: float | None = MISSING
    """Normal pixels' scores beyond this go to a temporary file; null keeps all in memory."""
    threshold: str = MISSING
    """How held-out normal scores set thresholds: `quantile`, `mean_sd` or `extreme_value`."""
    quantile: float = MISSING
    """Share of normal scores meant to stay below, for `quantile` and `extreme_value`."""
    num_sd: float = MISSING
    """k of mean + k sd, for `mean_sd`."""
    cases: int = MISSING
    """Images a group in the figures of worst and typical cases."""
    maps: bool = MISSING
    """Write the score maps as float16 TIFF in the layout of MVTec's own evaluation."""

    def __post_init__(self) -> None:
        _at_least("evaluation.every", self.every, 0)
        _at_least("evaluation.cases", self.cases, 0)
        _at_least("evaluation.resamples", self.resamples, 0)
        _at_least("evaluation.spill_gb", self.spill_gb, 0)
        _one_of("evaluation.threshold", self.threshold, "quantile", "mean_sd", "extreme_value")
        _at_least("evaluation.num_sd", self.num_sd, 0)
        if not 0 < self.quantile < 1:
            raise UserError(f"evaluation.quantile is {self.quantile}; allowed: between 0 and 1")
        for limit in self.aupro_limits:
            if not 0 < limit <= 1:
                raise UserError(f"evaluation.aupro_limits has {limit}; allowed: above 0 to 1")


@dataclass(kw_only=True)
class Tracker:
    """Who is told about the run, besides its folder."""

    name: str = MISSING
    """`wandb` or `none`."""
    mode: str = MISSING
    """`auto` (online where a key is configured, else offline), `online` or `offline`."""
    project: str = MISSING
    entity: str | None = MISSING
    group: str | None = MISSING
    """Study the run belongs to; null for none."""
    tags: list[str] = MISSING
    images: bool = MISSING
    """Whether pictures go to W&B."""

    def __post_init__(self) -> None:
        _one_of("tracker.name", self.name, "wandb", "none")
        _one_of("tracker.mode", self.mode, "auto", "online", "offline")
        bad = sorted(set(self.project) & set("/\\#?%:"))
        if bad or not self.project:
            raise UserError(
                f"tracker.project is {self.project!r}; it may not be empty or hold / \\ # ? % :"
            )


@dataclass(kw_only=True)
class Settings:
    """What decides the numbers once the features are there; part of every `Config`."""

    descriptor: Descriptor = MISSING
    memory_bank: MemoryBank = MISSING
    loss: Loss = MISSING
    optimizer: Optimizer = MISSING
    trainer: Trainer = MISSING
    scoring: Scoring = MISSING

    @property
    def num_score_neighbours(self) -> int:
        """Neighbours that scoring looks at."""
        return self.loss.K if self.scoring.num_neighbours is None else self.scoring.num_neighbours


@dataclass(kw_only=True)
class Config(Settings):
    """One run."""

    category: str = MISSING
    """A category of the data set."""
    seed: int = MISSING
    """Of the descriptor's start, the order of images and K-means."""
    device: str = MISSING
    """`auto`, `cpu`, `cuda` or `cuda:<number>`."""
    preset: str = MISSING
    """Name of the reading of CFA that set the values: official, paper, anomalib or lab."""
    resume: str = MISSING
    """`auto`, `never`, or an unfinished run's folder to continue."""
    backbone: Backbone = MISSING
    dataset: Dataset = MISSING
    image: Image = MISSING
    features: Features = MISSING
    evaluation: Evaluation = MISSING
    tracker: Tracker = MISSING

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed is {self.seed}; allowed: 0 to {2**32 - 1}")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise UserError(f"device is {self.device!r}; allowed: auto, cpu, cuda, cuda:<number>")


PRESETS = ("official", "paper", "anomalib", "lab")


def load_settings(preset: str) -> Settings:
    """The settings of a preset, read from `conf/` without Hydra."""
    _one_of("preset", preset, *PRESETS)
    folder = conf_dir()
    groups = [group.name for group in fields(Settings)]
    defaults = {group: OmegaConf.load(folder / group / "default.yaml") for group in groups}
    values: Any = OmegaConf.load(folder / "preset" / f"{preset}.yaml")
    chosen = OmegaConf.masked_copy(values, [group for group in groups if group in values])
    merged = OmegaConf.merge(OmegaConf.structured(Settings), defaults, chosen)
    return OmegaConf.to_object(merged)  # pyright: ignore[reportReturnType]
