"""What is black and white in images of more than 8 bits: one rule for a whole data set.

Cameras of 10, 12 or 14 bits store in files of 16. Read as 16 bits, their images are almost black;
stretched each by its own values, a bright defect would darken the part around it.
"""

from dataclasses import dataclass

import numpy as np

Span = tuple[float, float]
"""The values that are black and white."""

FULL, BYTE = (0.0, 65535.0), (0.0, 255.0)
USUAL = (8, 10, 12, 14, 16)
"""Bits that cameras have."""


@dataclass(frozen=True)
class Depth:
    """What counts as white in files of more than 8 bits.

    `bits` of the values count where a file does not say how many; None takes all 16. `range` is
    black and white in all of them, whatever they say; floating-point values need it.
    """

    bits: int | None = None
    range: Span | None = None

    @property
    def own(self) -> bool:
        """Whether files are read in another way than by the upper 8 of 16 bits."""
        return (self.range or self._of_bits) != FULL

    @property
    def deep(self) -> bool:
        """Whether more than 8 bits reach the network, as float32 in place of uint8."""
        return (self.range or self._of_bits) not in (FULL, BYTE)

    @property
    def _of_bits(self) -> Span:
        return span_of_bits(self.bits or 16)

    def span(
        self, *, white: float | None = None, significant: int | None = None, peak: float = 0
    ) -> Span:
        """Black and white of one file, of which is known what it says of itself.

        `white` is what its format calls white. `significant` is how many bits it says to count:
        values that have been stretched to 16 bits (`peak`, the largest, or a data set that fills
        16 bits, shows it) count as these.
        """
        if self.range is not None:
            return self.range
        if white is not None:
            return (0.0, white)
        if significant is not None and self.bits != 16:
            own = span_of_bits(significant)
            return own if peak <= own[1] else FULL
        return self._of_bits


def span_of_bits(bits: int) -> Span:
    """Black and white of values of so many bits."""
    return (0.0, float(2**bits - 1))


def usual_bits(largest: float) -> int:
    """The least bits, of those that cameras have, which hold a value."""
    return next((bits for bits in USUAL if largest < 2**bits), USUAL[-1])


def to_bytes(values: np.ndarray, span: Span) -> np.ndarray | None:
    """Whole values as uint8 where these are the file's own bytes, or its upper ones; else None."""
    if not np.issubdtype(values.dtype, np.integer):
        return None
    if span == FULL:
        return (values >> 8).astype(np.uint8)
    return values.clip(0, 255).astype(np.uint8) if span == BYTE else None


def scaled(values: np.ndarray, span: Span, *, white_zero: bool = False) -> np.ndarray:
    """Values as float32, black 0 and white 255, or turned round; those beyond stay beyond."""
    low, high = span
    found = values.astype(np.float32)
    if low:
        found -= np.float32(low)
    found *= np.float32(255 / (high - low))
    return 255 - found if white_zero else found
