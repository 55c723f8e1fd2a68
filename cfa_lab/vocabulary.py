"""The words that settings may hold, each list once, and the one function that refuses another.

A word enters as text, from a configuration or from a library user. Whoever takes it in calls
`one_of`, which raises or hands it back as one of the list's; code that then tells words apart has a
type whose every word it must know.
"""

from typing import Literal, NoReturn, TypeVar, get_args

from cfa_lab.errors import UserError

Preset = Literal["official", "paper", "anomalib", "lab"]
PRESETS: tuple[Preset, ...] = get_args(Preset)

Activation = Literal["relu", "leaky"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)

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

BankKind = Literal["mean", "ema", "sample"]
BANK_KINDS: tuple[BankKind, ...] = get_args(BankKind)

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
