"""Keys of what is measured and who is told."""

from dataclasses import dataclass

from omegaconf import MISSING

from cfa_lab.errors import UserError
from cfa_lab.vocabulary import (
    THRESHOLD_RULES,
    TRACKER_MODES,
    TRACKER_NAMES,
    each_within,
    none_or_within,
    one_of,
    within,
)


@dataclass(kw_only=True)
class EvaluationSettings:
    """What is measured on the test set, and when."""

    every: int = MISSING
    """Also evaluate after every so many epochs, for curves; 0 only after the last."""
    aupro_limits: list[float] = MISSING
    """False-positive rates up to which AUPRO is integrated."""
    resamples: int = MISSING
    """Draws of weights of the test images behind the 95 % intervals; 0 computes no intervals."""
    spill_gb: float | None = MISSING
    """Normal pixels' scores beyond this go to a temporary file; null keeps all in memory."""
    threshold: str = MISSING
    """How held-out normal scores set thresholds: `quantile`, `mean_sd` or `extreme_value`."""
    quantile: float = MISSING
    """Share of normal scores meant to stay below, for `quantile` and `extreme_value`."""
    num_sd: float = MISSING
    """k of mean + k sd, for `mean_sd`."""
    folds: int = MISSING
    """Parts of the training images, each scored by a model fitted to the others, so that all train
    and all set the thresholds; as many as images leaves out one at a time, 0 does without."""
    diagnostics: int = MISSING
    """Test images whose patches tell how the hyperspheres are used; 0 looks at none."""
    cases: int = MISSING
    """Images a group in the figures of worst and typical cases; 0 draws no figures at all."""
    maps: bool = MISSING
    """Write the score maps as float16 TIFF in the layout of MVTec's own evaluation."""

    def __post_init__(self) -> None:
        within("evaluation.every", self.every)
        within("evaluation.cases", self.cases)
        within("evaluation.diagnostics", self.diagnostics)
        within("evaluation.resamples", self.resamples)
        none_or_within("evaluation.spill_gb", self.spill_gb)
        one_of("evaluation.threshold", self.threshold, THRESHOLD_RULES)
        within("evaluation.num_sd", self.num_sd)
        within("evaluation.quantile", self.quantile)
        within("evaluation.folds", self.folds)
        if self.folds == 1:
            raise UserError("evaluation.folds is 1; allowed: 0, or 2 and more")
        each_within("evaluation.aupro_limits", self.aupro_limits)


@dataclass(kw_only=True)
class TrackerSettings:
    """Who is told about the run, besides its folder."""

    name: str = MISSING
    """`wandb` or `none`."""
    mode: str = MISSING
    """`auto` (online where a key is configured, else offline), `online` or `offline`."""
    project: str = MISSING
    """The project on W&B."""
    entity: str | None = MISSING
    """The account or team on W&B; null for your own."""
    group: str | None = MISSING
    """Study the run belongs to; null for none, or in a multirun for its folder's name."""
    tags: list[str] = MISSING
    """Words to find the run by on W&B."""
    images: bool = MISSING
    """Whether pictures go to W&B."""
    model: bool = MISSING
    """Whether the fitted detector goes to W&B, as an artifact."""

    def __post_init__(self) -> None:
        one_of("tracker.name", self.name, TRACKER_NAMES)
        one_of("tracker.mode", self.mode, TRACKER_MODES)
        bad = sorted(set(self.project) & set("/\\#?%:"))
        if bad or not self.project:
            raise UserError(
                f"tracker.project is {self.project!r}; it may not be empty or hold / \\ # ? % :"
            )
