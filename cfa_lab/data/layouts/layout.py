"""What a folder layout is: two pure functions of a folder."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from cfa_lab.data.samples import Sample


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one family of data sets lies on disk, and where a user gets it.

    `categories(root)` lists the categories found; `samples(root, category)` lists the images of one
    of them and raises `UserError` for what is wrong inside it. Both look at names only. `structure`
    and `source` are phrases for the message that a missing root gets.
    """

    categories: Callable[[Path], list[str]]
    samples: Callable[[Path, str], Iterable[Sample]]
    structure: str
    source: str
