"""Keys that decide the numbers once the features are there: the method and its training."""

from dataclasses import dataclass

from omegaconf import MISSING

from cfa_lab.errors import UserError
from cfa_lab.vocabulary import (
    ALPHA_SIGNS,
    BANK_KINDS,
    BORDERS,
    INITIALISATIONS,
    NEGATIVES,
    OPTIMIZER_NAMES,
    PRECISIONS,
    REDUCERS,
    WEIGHTINGS,
    none_or_within,
    one_of,
    within,
)


@dataclass(kw_only=True)
class DescriptorSettings:
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
        within("descriptor.gamma_d", self.gamma_d)


@dataclass(kw_only=True)
class MemoryBankSettings:
    """The memory bank C, the centres of the hyperspheres."""

    kind: str = MISSING
    """`mean`: mean map (authors' code); `ema`: first image, then average of matches (paper);
    `sample`: at each position the patch of a training image drawn at random; `coreset`: patches as
    the fitted descriptor gives them, far from each other (greedy k-centre); `both`: the mean map
    and a coreset together (the last three ours)."""
    entries: int | None = MISSING
    """Entries of a `coreset`; null takes as many as the mean map has."""
    gamma_c: int = MISSING
    """Divisor of the number of entries, by K-means."""
    starts: int = MISSING
    """Starts of K-means, of which the best is kept; the authors' call meant 10."""
    beta: float = MISSING
    """Step of the moving average of `ema`, 0 to 1."""
    refresh: bool = MISSING
    """Make the bank anew after each epoch, with the descriptor as it is then; else it stays as the
    untrained descriptor made it (authors' code)."""

    def __post_init__(self) -> None:
        one_of("memory_bank.kind", self.kind, BANK_KINDS)
        none_or_within("memory_bank.entries", self.entries)
        within("memory_bank.gamma_c", self.gamma_c)
        within("memory_bank.starts", self.starts)
        within("memory_bank.beta", self.beta)


@dataclass(kw_only=True)
class LossSettings:
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
        within("loss.K", self.K)
        within("loss.J", self.J)
        within("loss.r", self.r)
        within("loss.alpha", self.alpha)
        within("loss.nu", self.nu)
        one_of("loss.negatives", self.negatives, NEGATIVES)
        one_of("loss.alpha_sign", self.alpha_sign, ALPHA_SIGNS)


@dataclass(kw_only=True)
class OptimizerSettings:
    """How the descriptor is fitted."""

    name: str = MISSING
    """`adamw`: by steps over epochs, the radius too where it is learned; `closed_form`: solved for
    in one pass (ours), in which lr, weight_decay, amsgrad and the trainer's epochs (above 0),
    batch_size, drop_last and precision have no part."""
    time: float = MISSING
    """How long `closed_form` descends: 0 leaves the features as they are, a large one gives least
    squares. Standardised features' mean square loss is halved in about a unit."""
    lr: float = MISSING
    """Learning rate."""
    weight_decay: float = MISSING
    """Also on r, as in the authors' code."""
    amsgrad: bool = MISSING
    """Whether the second moment of the gradient never falls (authors' code)."""

    def __post_init__(self) -> None:
        one_of("optimizer.name", self.name, OPTIMIZER_NAMES)
        within("optimizer.time", self.time)
        within("optimizer.lr", self.lr)
        within("optimizer.weight_decay", self.weight_decay)


@dataclass(kw_only=True)
class TrainerSettings:
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
        within("trainer.epochs", self.epochs)
        within("trainer.batch_size", self.batch_size)
        one_of("trainer.precision", self.precision, PRECISIONS)
        none_or_within("trainer.num_threads", self.num_threads)


@dataclass(kw_only=True)
class ScoringSettings:
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
        none_or_within("scoring.num_neighbours", self.num_neighbours)
        one_of("scoring.weighting", self.weighting, WEIGHTINGS)
        within("scoring.sigma", self.sigma)
        one_of("scoring.border", self.border, BORDERS)
        one_of("scoring.reducer", self.reducer, REDUCERS)
        within("scoring.top_fraction", self.top_fraction)


@dataclass(kw_only=True)
class Settings:
    """What decides the numbers once the features are there; part of every `Config`."""

    descriptor: DescriptorSettings = MISSING
    memory_bank: MemoryBankSettings = MISSING
    loss: LossSettings = MISSING
    optimizer: OptimizerSettings = MISSING
    trainer: TrainerSettings = MISSING
    scoring: ScoringSettings = MISSING

    def __post_init__(self) -> None:
        if self.optimizer.name == "closed_form":
            refuse_what_cannot_be_solved(self.loss)

    @property
    def num_epochs(self) -> int:
        """Epochs that the history will have: a solution is one."""
        solved = self.optimizer.name == "closed_form"
        return min(1, self.trainer.epochs) if solved else self.trainer.epochs

    @property
    def num_score_neighbours(self) -> int:
        """Neighbours that scoring looks at."""
        return self.loss.K if self.scoring.num_neighbours is None else self.scoring.num_neighbours


def refuse_what_cannot_be_solved(loss: LossSettings) -> None:
    """Raise UserError where the loss is no sum of squares of attracted pairs alone."""
    cause = None
    if loss.learnable_radius:
        cause = "loss.learnable_radius=true has no closed form; set it to false"
    elif not loss.squared:
        cause = "loss.squared=false has no closed form; set it to true"
    elif loss.J and (loss.alpha_sign == "plus" or loss.r**2 > loss.alpha):
        cause = (
            f"repulsion acts with loss.J={loss.J} loss.r={loss.r:g} loss.alpha={loss.alpha:g} "
            f"loss.alpha_sign={loss.alpha_sign} and has no closed form; "
            "set loss.J=0 or lower loss.r"
        )
    if cause:
        raise UserError(f"optimizer=closed_form: {cause}, or choose optimizer=adamw")
