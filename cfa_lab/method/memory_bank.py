"""The memory bank C: the centres of the hyperspheres, built with the untrained descriptor.

Once and for all (paper, authors' code), or anew after each epoch with the descriptor as it is then
(ours), for which a `BankMaker` stands.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from cfa_lab.errors import UserError
from cfa_lab.method.descriptor import Descriptor
from cfa_lab.method.filter import BLOCK_ELEMENTS
from cfa_lab.method.pyramid import Pyramid
from cfa_lab.vocabulary import BANK_KINDS, BankKind, no_other, one_of, within

AFTER_FITTING: tuple[BankKind, ...] = ("coreset", "both")
"""Kinds that the fitted descriptor makes or completes."""

BankMaker = Callable[[Descriptor], Tensor]
"""Makes the bank (m, d) that a descriptor gives."""


def mean_pyramid(batches: Iterable[Pyramid]) -> list[Tensor]:
    """The running mean of the batches' mean pooled maps: one (1, c_l, h_l, w_l) a level, float64.

    Authors' code averages described maps; the descriptor is affine, so features may be averaged
    first and described once. Every batch weighs the same, whatever its size.
    """
    total: list[Tensor] | None = None
    num_batches = 0
    for pyramid in batches:
        means = [level.mean(0, keepdim=True, dtype=torch.float64) for level in pyramid]
        total = means if total is None else [t + mean for t, mean in zip(total, means, strict=True)]
        num_batches += 1
    if total is None:
        raise UserError("the memory bank needs at least one batch of training images, got none")
    return [level / num_batches for level in total]


@torch.no_grad()
def sample_bank(descriptor: Descriptor, batches: Iterable[Pyramid], *, seed: int) -> Tensor:
    """One entry per position, the patch there of a training image drawn at random: (n, d).

    Ours: entries are real patches where the mean map's are averages. Each image replaces each entry
    with probability 1 over the number of images so far, so all images are equally likely.
    """
    generator = torch.Generator().manual_seed(seed)
    bank: Tensor | None = None
    for number, image in enumerate(_images(batches), 1):
        patches = descriptor(image)[0]  # (n, d)
        drawn = torch.rand(len(patches), generator=generator) * number < 1
        if bank is None:
            bank = patches
        else:
            drawn = drawn.to(patches.device).unsqueeze(1)
            bank = torch.where(drawn, patches, bank)
    if bank is None:
        raise UserError("the memory bank needs at least one training image, got none")
    return bank


@torch.no_grad()
def ema_bank(
    descriptor: Descriptor,
    batches: Iterable[Pyramid],
    *,
    beta: float,
    gamma_c: int,
    starts: int = 1,
    seed: int,
) -> Tensor:
    """Entries that follow their matches from image to image: (n // gamma_c, d).

    Paper, Algorithm 1. The first image's patches (their K-means centres if gamma_c > 1) start the
    bank; then, image by image, each entry in turn moves by `beta` towards its nearest patch that no
    entry before it has used.
    """
    bank: Tensor | None = None
    for image in _images(batches):
        patches = descriptor(image)[0]  # (n, d)
        if bank is None:
            bank = compress(patches, gamma_c, starts=starts, seed=seed)
        else:
            bank = torch.lerp(bank, patches[match_unused(bank, patches)], beta)
    if bank is None:
        raise UserError("the memory bank needs at least one training image, got none")
    return bank


def _images(batches: Iterable[Pyramid]) -> Iterator[list[Tensor]]:
    """The single images (1, c, h, w) of batches, in order."""
    for pyramid in batches:
        for i in range(len(pyramid[0])):
            yield [level[i : i + 1] for level in pyramid]


def match_unused(bank: Tensor, patches: Tensor) -> Tensor:
    """For each entry (m, d) in turn, the index of the nearest patch (n, d) not yet taken: (m,).

    Needs m <= n. Equal distances go to the lower index. Distances are in float64, since nothing
    recomputes them afterwards.
    """
    shift = patches.mean(0)
    entries, candidates = (bank - shift).double(), (patches - shift).double()
    half_norms = candidates.square().sum(1) / 2
    taken = torch.zeros(len(patches), dtype=torch.float64, device=patches.device)
    matches = torch.empty(len(bank), dtype=torch.int64, device=patches.device)
    rows = max(1, BLOCK_ELEMENTS // len(patches))
    for start in range(0, len(bank), rows):
        order = torch.addmm(half_norms, entries[start : start + rows], candidates.T, alpha=-1)
        for i, row in enumerate(order, start):
            matches[i] = best = (row + taken).argmin()
            taken[best] = torch.inf
    return matches


def compress(entries: Tensor, gamma_c: int, *, starts: int = 1, seed: int) -> Tensor:
    """Replace entries (m, d) by m // gamma_c centres of a seeded K-means; gamma_c = 1 keeps them.

    Of several `starts` the one whose entries lie nearest to their centres is kept: 10 are what the
    authors' call meant under the scikit-learn of its day.

    Runs on one thread of the CPU: with more, partial sums are added in a changing order and the
    same seed would not give the same bits.
    """
    if gamma_c == 1:
        return entries
    num_centres = len(entries) // gamma_c
    if num_centres < 1:
        raise UserError(
            f"memory_bank.gamma_c={gamma_c} leaves no entry of {len(entries)}; "
            f"it must be at most {len(entries)}"
        )
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        means = KMeans(num_centres, n_init=starts, max_iter=3000, random_state=seed)  # pyright: ignore[reportArgumentType]
        means.fit(entries.cpu().numpy())
    return torch.as_tensor(means.cluster_centers_).to(entries)


def bank_maker(
    kind: str,
    batches: Callable[[], Iterable[Pyramid]],
    *,
    beta: float,
    gamma_c: int,
    starts: int = 1,
    seed: int,
) -> BankMaker:
    """How the bank that a descriptor is fitted to is made, for each kind of bank.

    `mean` (authors' code), `ema` (paper), `sample` (ours); for `coreset` and `both`, which need the
    fitted descriptor, it is the mean map. `batches` starts a pass over the training images; `mean`
    makes one, others one for each bank.
    """
    word: BankKind = one_of("memory_bank.kind", kind, BANK_KINDS)
    within("memory_bank.beta", beta)
    within("memory_bank.gamma_c", gamma_c)
    within("memory_bank.starts", starts)
    if word in ("mean", "coreset", "both"):
        mean = mean_pyramid(batches())

        def describe_mean(descriptor: Descriptor) -> Tensor:
            with torch.no_grad():
                bank = descriptor([level.to(descriptor.weight.dtype) for level in mean])[0]
            return compress(bank, gamma_c, starts=starts, seed=seed)

        return describe_mean
    if word == "ema":
        return lambda descriptor: ema_bank(
            descriptor, batches(), beta=beta, gamma_c=gamma_c, starts=starts, seed=seed
        )
    if word == "sample":
        return lambda descriptor: compress(
            sample_bank(descriptor, batches(), seed=seed), gamma_c, starts=starts, seed=seed
        )
    no_other(word)
