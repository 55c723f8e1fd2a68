"""Images that look alike without being the same: frames of one burst, a part taken twice."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cfa_lab.data.doubts import named
from cfa_lab.data.samples import Sample
from cfa_lab.doctor.facts import ImageFacts
from cfa_lab.doctor.finding import Finding

SHARE = 1 / 7
"""Two images are alike whose hashes differ in less than this share of what any two of the data set
differ in: frames of a burst that are noisy and a pixel apart do, parts that are aligned do not."""


def near_duplicates(
    samples: Sequence[Sample], facts: Mapping[str, ImageFacts]
) -> Iterator[Finding]:
    """Images to validate or test on that look like one to train on, but for equal ones."""
    known = [s for s in samples if facts[s.path].look is not None]
    trained, others = (
        [s for s in known if (s.split == "train") == is_train] for is_train in (True, False)
    )
    if not trained or not others:
        return
    first, second = (
        np.stack([facts[s.path].look for s in part]).astype(np.float32)  # pyright: ignore
        for part in (trained, others)
    )
    differing = (first.shape[1] - second @ first.T) / 2
    limit = SHARE * float(np.median(differing))
    pairs = []
    for sample, row in zip(others, differing, strict=True):
        alike = trained[int(row.argmin())]
        same = facts[alike.path].content == facts[sample.path].content
        if row.min() < limit and not same:
            pairs.append(f"{sample.path} ~ {alike.path}")
    if pairs:
        yield Finding(
            False,
            f"{len(pairs)} images to test or validate on look like one to train on, as frames of "
            f"one burst do: {named(pairs)}; if they show the same part, the numbers are too good: "
            "keep its images on one side",
        )
