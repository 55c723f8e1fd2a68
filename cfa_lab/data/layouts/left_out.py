"""What lies in a category's folder and takes no part, so that nothing vanishes without a word."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from cfa_lab.data.layouts.folders import IMAGE_SUFFIXES, files_below
from cfa_lab.data.samples import LeftOut


def count_left_out(
    folder: Path,
    prefix: str,
    used: Collection[str],
    places: Collection[str],
    alone: Collection[str],
) -> tuple[LeftOut, ...]:
    """Files below a category's folder that are not `used`, counted by folder and suffix.

    Of the folders `places`, which hold images or masks, every file counts; elsewhere images only,
    and nothing in the folders `alone`. `prefix` is what stands before paths in `used`.
    """
    counts: Counter[tuple[str, str]] = Counter()
    left_alone = {name.lower() for name in alone}
    for path in files_below(folder, lambda name: name.lower() in left_alone):
        if f"{prefix}{path}" in used:
            continue
        suffix = PurePosixPath(path).suffix.lower()
        if suffix in IMAGE_SUFFIXES or any(path.startswith(f"{place}/") for place in places):
            counts[f"{prefix}{path}".rpartition("/")[0], suffix] += 1
    return tuple(LeftOut(place, suffix, n) for (place, suffix), n in sorted(counts.items()))
