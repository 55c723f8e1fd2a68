"""What settings may hold: the words, each list once, and the bounds of numbers, each once.

Values come from a configuration or from a library user. Whoever takes one in calls `one_of` or
`within`, so that both are refused alike. Code that tells words apart has a type whose every word it
must know.
"""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, NoReturn, TypeVar, get_args

from cfa_lab.errors import UserError

Activation = Literal["relu", "leaky"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)

Padding = Literal["dynamic", "static"]
PADDINGS: tuple[Padding, ...] = get_args(Padding)

Release = Literal["v1", "v2"]
RELEASES: tuple[Release, ...] = get_args(Release)

Resize = Literal["stretch", "shorter_side", "letterbox", "tile"]
RESIZES: tuple[Resize, ...] = get_args(Resize)

Interpolation = Literal["lanczos", "bilinear", "bicubic"]
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)

Dtype = Literal["half", "float32"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)

Precision = Literal["exact", "fast"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Initialisation = Literal["default", "he", "orthogonal", "identity"]
INITIALISATIONS: tuple[Initialisation, ...] = get_args(Initialisation)

BankKind = Literal["mean", "ema", "sample", "coreset", "both"]
BANK_KINDS: tuple[BankKind, ...] = get_args(BankKind)

OptimizerName = Literal["adamw", "closed_form"]
OPTIMIZER_NAMES: tuple[OptimizerName, ...] = get_args(OptimizerName)

WITHOUT_PART: dict[str, tuple[str, ...]] = {
    "adamw": ("optimizer.time",),
    "closed_form": (
        *("trainer.epochs", "trainer.batch_size", "trainer.drop_last", "trainer.precision"),
        *("optimizer.lr", "optimizer.weight_decay", "optimizer.amsgrad"),
    ),
}
"""The keys that change no number, by `optimizer.name`; 0 epochs still fit nothing."""

Negatives = Literal["after_k", "from_j"]
NEGATIVES: tuple[Negatives, ...] = get_args(Negatives)

AlphaSign = Literal["minus", "plus"]
ALPHA_SIGNS: tuple[AlphaSign, ...] = get_args(AlphaSign)

Weighting = Literal["softmin", "nearest"]
WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)

Border = Literal["reflect", "mirror"]
BORDERS: tuple[Border, ...] = get_args(Border)

Reducer = Literal["max", "top_mean"]
REDUCERS: tuple[Reducer, ...] = get_args(Reducer)

ThresholdRule = Literal["quantile", "mean_sd", "extreme_value"]
THRESHOLD_RULES: tuple[ThresholdRule, ...] = get_args(ThresholdRule)

TrackerName = Literal["wandb", "none"]
TRACKER_NAMES: tuple[TrackerName, ...] = get_args(TrackerName)

TrackerMode = Literal["auto", "online", "offline"]
TRACKER_MODES: tuple[TrackerMode, ...] = get_args(TrackerMode)

Word = TypeVar("Word", bound=str)


def one_of(key: str, value: str, allowed: tuple[Word, ...]) -> Word:
    """The word, if it is one of those allowed; raises UserError naming the key and all of them."""
    for word in allowed:
        if word == value:
            return word
    raise UserError(f"{key} is {value!r}; allowed: {', '.join(allowed)}")


def no_other(word: NoReturn) -> NoReturn:
    """Stands after the branches of all words; a word without one is an error of the type check."""
    raise AssertionError(f"{word!r} has no branch here")


class Bounds(NamedTuple):
    """What a number may be; never NaN or infinite."""

    low: float
    high: float = math.inf
    above: bool = False
    """Whether `low` itself is refused."""
    below: bool = False
    """Whether `high` itself is refused."""
    whole: bool = False

    def hold(self, value: Any) -> bool:
        """Whether a number lies within."""
        low = value > self.low if self.above else value >= self.low
        return low and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'above' if self.above else 'at least'} {self.low}"
        if self.above and self.below:
            return f"between {self.low} and {self.high}"
        low, high = "above " * self.above, "below " * self.below
        return f"{low}{self.low} to {high}{self.high}"


COUNT, COUNT_OR_NONE = Bounds(1, whole=True), Bounds(0, whole=True)
AMOUNT, POSITIVE = Bounds(0), Bounds(0, above=True)
SEED = Bounds(0, 2**32 - 1, whole=True)

BOUNDS = {
    "seed": SEED,
    "backbone.dimension_factor": COUNT,
    "dataset.limit_train": COUNT,
    "dataset.subset_seed": COUNT_OR_NONE,
    "dataset.draw_seed": COUNT_OR_NONE,
    "dataset.validation_fraction": Bounds(0, 1, below=True),
    "dataset.test_fraction": Bounds(0, 1, below=True),
    "image.height": COUNT,
    "image.width": COUNT,
    "image.size": COUNT,
    "image.crop": COUNT,
    "image.overlap": COUNT_OR_NONE,
    "image.bits": Bounds(8, 16, whole=True),
    "features.batch_size": COUNT,
    "features.workers": COUNT,
    "features.max_gb": POSITIVE,
    "features.memory_gb": AMOUNT,
    "descriptor.gamma_d": COUNT,
    "memory_bank.entries": COUNT,
    "memory_bank.gamma_c": COUNT,
    "memory_bank.starts": COUNT,
    "memory_bank.beta": Bounds(0, 1),
    "loss.K": COUNT,
    "loss.J": COUNT_OR_NONE,
    "loss.r": AMOUNT,
    "loss.alpha": AMOUNT,
    "loss.nu": POSITIVE,
    "optimizer.time": AMOUNT,
    "optimizer.lr": POSITIVE,
    "optimizer.weight_decay": AMOUNT,
    "trainer.epochs": COUNT_OR_NONE,
    "trainer.batch_size": COUNT,
    "trainer.num_threads": COUNT,
    "scoring.num_neighbours": COUNT,
    "scoring.sigma": Bounds(0, 1000),
    "scoring.top_fraction": Bounds(0, 1, above=True),
    "evaluation.every": COUNT_OR_NONE,
    "evaluation.aupro_limits": Bounds(0, 1, above=True),
    "evaluation.resamples": COUNT_OR_NONE,
    "evaluation.spill_gb": AMOUNT,
    "evaluation.quantile": Bounds(0, 1, above=True, below=True),
    "evaluation.num_sd": AMOUNT,
    "evaluation.folds": COUNT_OR_NONE,
    "evaluation.diagnostics": COUNT_OR_NONE,
    "evaluation.cases": COUNT_OR_NONE,
}
"""The bounds of each number by its key."""


def within(key: str, value: Any) -> None:
    """Raise UserError, naming the key and what is allowed, for a number out of bounds or none."""
    bounds = BOUNDS[key]
    kind, told = (Integral, "a whole number") if bounds.whole else (Real, "a number")
    if not isinstance(value, kind):
        raise UserError(f"{key} is {value!r}; must be {told}")
    if not (math.isfinite(value) and bounds.hold(value)):
        raise UserError(f"{key} is {value}; allowed: {bounds}")


def none_or_within(key: str, value: Any) -> None:
    """The same for a number that may be left out."""
    if value is not None:
        within(key, value)


def each_within(key: str, values: Sequence[Any]) -> None:
    """The same for each number of a list, in which none may stand twice."""
    for i, value in enumerate(values):
        within(key, value)
        if value in values[:i]:
            raise UserError(f"{key} holds {value} twice; give each number once")


def rising_pair(key: str, values: Sequence[Any]) -> tuple[float, float]:
    """Two numbers, the first below the second; raises UserError for anything else."""
    numbers = [float(value) for value in values if isinstance(value, Real)]
    if len(values) == len(numbers) == 2 and all(map(math.isfinite, numbers)):
        low, high = numbers
        if low < high:
            return low, high
    raise UserError(f"{key} is {list(values)}; must be two numbers, the first below the second")
