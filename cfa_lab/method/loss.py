"""The coupled-hypersphere loss: drawn into K hyperspheres, pushed off others."""

from dataclasses import dataclass

import torch
from torch import Tensor

from cfa_lab.errors import UserError
from cfa_lab.method.repulsion import sqrt_alpha
from cfa_lab.vocabulary import ALPHA_SIGNS, NEGATIVES, AlphaSign, Negatives, one_of, within


@dataclass(frozen=True, kw_only=True)
class LossTerms:
    """The two terms of one step and how much of each is at work; scalars, 1/nu included."""

    attraction: Tensor
    repulsion: Tensor
    active_attraction: Tensor
    """Fraction of attracted pairs outside their hypersphere."""
    active_repulsion: Tensor
    """Fraction of repelled pairs inside the margin; 0 without repelled pairs."""

    @property
    def total(self) -> Tensor:
        return self.attraction + self.repulsion

    @property
    def numbers(self) -> Tensor:
        """The four as one tensor (4,), without their graph."""
        return torch.stack(
            [self.attraction, self.repulsion, self.active_attraction, self.active_repulsion]
        ).detach()


@dataclass(frozen=True, kw_only=True)
class HypersphereLoss:
    """Attraction to the K nearest bank entries and repulsion from hard negatives (paper Eq. 1-3).

    L_att = mean max(0, D_k - r^2) / nu over k = 1..K;
    L_rep = mean max(0, r^2 - D_j - alpha) / nu over the negatives; D is the squared distance
    (authors' code) or, where `squared` is false, the distance (the paper's letter).

    `negatives`: `after_k` takes the J entries after the K-th (paper), `from_j` the K entries after
    the J-th (authors' code; the same only where J = K). J = 0 means no repulsion in both.
    `alpha_sign`: `minus` as printed and published, `plus` makes alpha a margin outside the sphere.
    """

    K: int
    J: int
    alpha: float
    nu: float
    negatives: Negatives = "after_k"
    alpha_sign: AlphaSign = "minus"
    squared: bool = True

    def __post_init__(self) -> None:
        within("loss.K", self.K)
        within("loss.J", self.J)
        within("loss.alpha", self.alpha)
        within("loss.nu", self.nu)
        one_of("loss.negatives", self.negatives, NEGATIVES)
        one_of("loss.alpha_sign", self.alpha_sign, ALPHA_SIGNS)

    @property
    def num_neighbours(self) -> int:
        """How many nearest entries the loss looks at."""
        return self.K + self.J

    @property
    def repelled(self) -> range:
        """Which of the nearest entries, counted from 0, are the negatives."""
        if self.J == 0:
            return range(0)
        return range(self.K if self.negatives == "after_k" else self.J, self.num_neighbours)

    @property
    def signed_alpha(self) -> float:
        """alpha as it is subtracted."""
        return self.alpha if self.alpha_sign == "minus" else -self.alpha

    def num_felt(self, radius: Tensor) -> int:
        """How many nearest entries can make a difference at radius r (scalar): K, or all.

        While r is at most `sqrt_alpha`, nothing is repelled.
        """
        limit = sqrt_alpha(J=self.J, alpha=self.alpha, alpha_sign=self.alpha_sign)
        reaches = limit is None or float(radius.detach().square()) > self.alpha
        return self.num_neighbours if reaches else self.K

    def __call__(self, squared_distances: Tensor, radius: Tensor) -> LossTerms:
        """Loss of squared distances (..., K + J), ascending, at radius r (scalar)."""
        if squared_distances.shape[-1] != self.num_neighbours:
            raise UserError(
                f"the loss got {squared_distances.shape[-1]} distances a patch; "
                f"K={self.K} and J={self.J} need {self.num_neighbours}"
            )
        distances = squared_distances if self.squared else safe_sqrt(squared_distances)
        r2 = radius.square()
        outside = distances[..., : self.K] - r2
        inside = r2 - distances[..., self.repelled.start : self.repelled.stop] - self.signed_alpha
        return LossTerms(
            attraction=outside.relu().mean() / self.nu,
            repulsion=inside.relu().mean() / self.nu if self.J else inside.sum(),
            active_attraction=(outside.detach() > 0).to(r2.dtype).mean(),
            active_repulsion=(inside.detach() > 0).to(r2.dtype).mean()
            if self.J
            else r2.detach() * 0,
        )


def safe_sqrt(squared: Tensor) -> Tensor:
    """Square root whose gradient at 0 is 0 instead of infinite; NaN stays NaN."""
    positive = squared > 0
    return torch.where(
        positive, squared.where(positive, 1).sqrt(), squared.where(squared.isnan(), 0)
    )
