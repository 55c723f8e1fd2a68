"""What the doctor says: lines in words that a user can act on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`wrong`: a run would fail or its numbers would mislead; else it is good to know."""

    wrong: bool
    text: str
