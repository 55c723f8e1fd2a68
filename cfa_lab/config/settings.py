"""Keys that decide the numbers once the features are there: the method and its training."""

from dataclasses import dataclass

from omegaconf import MISSING

from cfa_lab.config.checks import at_least
from cfa_lab.errors import UserError
from cfa_lab.vocabulary import (
    ALPHA_SIGNS,
    BANK_KINDS,
    BORDERS,
    INITIALISATIONS,
    NEGATIVES,
    PRECISIONS,
    REDUCERS,
    WEIGHTINGS,
    one_of,
)


@dataclass(kw_only=True)
class Descriptor:
    """The patch descriptor phi."""

    init: str = MISSING
    """`default` (PyTorch's, authors' code), `he` (paper), `orthogonal` (a random rotation of the
    features) or `identity` (the features as they are; with gamma_d, projected at random)."""
    coordinates: bool = MISSING
    """Whether row and column enter as two more features (CoordConv)."""
    gamma_d: int = MISSING
    """Divisor of the descriptor's dimension."""

    def __post_init__(self) -> None:
        one_of("descriptor.init", self.init, INITIALISATIONS)
        at_least("descriptor.gamma_d", self.gamma_d, 1)


@dataclass(kw_only=True)
class MemoryBank:
    """The memory bank C, the centres of the hyperspheres."""

    kind: str = MISSING
    """`mean`: mean map (authors' code); `ema`: first image, then average of matches (paper);
    `sample`: at each position the patch of a training image drawn at random (ours)."""
    gamma_c: int = MISSING
    """Divisor of the number of entries, by K-means."""
    beta: float = MISSING
    """Step of the moving average of `ema`, 0 to 1."""
    refresh: bool = MISSING
    """Make the bank anew after each epoch, with the descriptor as it is then; else it stays as the
    untrained descriptor made it (authors' code)."""

    def __post_init__(self) -> None:
        one_of("memory_bank.kind", self.kind, BANK_KINDS)
        at_least("memory_bank.gamma_c", self.gamma_c, 1)
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
        at_least("loss.K", self.K, 1)
        at_least("loss.J", self.J, 0)
        at_least("loss.r", self.r, 0)
        at_least("loss.alpha", self.alpha, 0)
        at_least("loss.nu", self.nu, 0, above=True)
        one_of("loss.negatives", self.negatives, NEGATIVES)
        one_of("loss.alpha_sign", self.alpha_sign, ALPHA_SIGNS)


@dataclass(kw_only=True)
class Optimizer:
    """AdamW over the descriptor and, where learned, the radius."""

    lr: float = MISSING
    """Learning rate."""
    weight_decay: float = MISSING
    """Also on r, as in the authors' code."""
    amsgrad: bool = MISSING

    def __post_init__(self) -> None:
        at_least("optimizer.lr", self.lr, 0, above=True)
        at_least("optimizer.weight_decay", self.weight_decay, 0)


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
    """`exact`: every number that enters a result is float32 (bf16 may rule neighbours out, proven);
    `fast`: the descriptor's products are taken in bf16 too, on CPUs that gain from it."""
    num_threads: int | None = MISSING
    """CPU threads; null takes all cores this process may use. Part of what fixes the last bits."""

    def __post_init__(self) -> None:
        at_least("trainer.epochs", self.epochs, 0)
        at_least("trainer.batch_size", self.batch_size, 1)
        one_of("trainer.precision", self.precision, PRECISIONS)
        at_least("trainer.num_threads", self.num_threads, 1)


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
        at_least("scoring.num_neighbours", self.num_neighbours, 1)
        one_of("scoring.weighting", self.weighting, WEIGHTINGS)
        at_least("scoring.sigma", self.sigma, 0)
        if self.sigma > 1000:
            raise UserError(f"scoring.sigma is {self.sigma}; allowed: 0 to 1000 input pixels")
        one_of("scoring.border", self.border, BORDERS)
        one_of("scoring.reducer", self.reducer, REDUCERS)
        if not 0 < self.top_fraction <= 1:
            raise UserError(f"scoring.top_fraction is {self.top_fraction}; allowed: above 0 to 1")


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
