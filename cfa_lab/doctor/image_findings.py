"""What is wrong with images, each and all together."""

from collections import Counter
from collections.abc import Iterator, Mapping

from cfa_lab.data.depth import FULL, USUAL
from cfa_lab.data.depth_found import ONLY_BYTES, FileDepth, FoundDepth
from cfa_lab.data.doubts import named
from cfa_lab.data.geometry import Geometry, Size
from cfa_lab.data.samples import SampleTable
from cfa_lab.doctor.facts import ImageFacts
from cfa_lab.doctor.finding import Finding
from cfa_lab.errors import UserError


def about_images(
    table: SampleTable, facts: Mapping[str, ImageFacts], geometry: Geometry
) -> Iterator[Finding]:
    """What images would spoil, and what they have that may surprise."""
    good = {path: fact for path, fact in facts.items() if fact.error is None}
    several = [path for path, fact in good.items() if fact.num_frames > 1]
    if several:
        yield Finding(
            True,
            f"{len(several)} images have several frames or pages, of which only the first is "
            f"read: {named(several)}; save each as an image of its own",
        )
    constant = [path for path, fact in good.items() if fact.is_constant]
    if constant:
        yield Finding(
            True,
            f"{len(constant)} images have one colour all over: {named(constant)}; "
            "the camera or the export failed there, so take them out",
        )
    two = {path for path, fact in good.items() if fact.is_two_valued}
    if two and not any(sample.path in two for sample in table.train):
        yield Finding(
            True,
            f"{len(two)} images hold two values only, as masks do: {named(sorted(two))}; if they "
            "are masks, move them into a folder called ground_truth, or name theirs with "
            "dataset=folder dataset.masks",
        )
    refused: dict[Size, str] = {}
    for path, fact in good.items():
        if fact.size not in refused:
            try:
                geometry.plan(fact.size)
            except UserError as error:
                refused[fact.size] = f"{path}: {error}"
    for line in refused.values():
        yield Finding(True, line)
    modes, sizes = (
        Counter(getattr(fact, name) for fact in good.values()) for name in ("mode", "size")
    )
    of_label = [{facts[s.path].mode for s in table.samples if s.label == n} - {""} for n in (0, 1)]
    of_split = [{facts[s.path].mode for s in split} - {""} for split in (table.train, table.test)]
    apart = [pair for pair in (of_split, of_label) if all(pair) and not set.intersection(*pair)]
    if apart:
        yield Finding(
            True,
            f"{'training and test' if of_split in apart else 'normal and defect'} images have "
            f"different colour modes, {_counted(modes)}, by which a model could tell them; save "
            "all alike",
        )
    elif len(modes) > 1:
        yield Finding(False, f"colour modes are mixed: {_counted(modes)}; all become RGB")
    ratios = [width / height for height, width in sizes]
    if ratios and max(ratios) > 1.1 * min(ratios):
        hint = "; stretching distorts them, image.resize=letterbox does not"
        yield Finding(
            False,
            f"width over height goes from {min(ratios):.2f} to {max(ratios):.2f}"
            + (hint if geometry.resize == "stretch" else ""),
        )
    small = [p for p, fact in good.items() if min(fact.size) < min(geometry.input_size) / 2]
    if small:
        yield Finding(
            False,
            f"{len(small)} images have less than half the pixels a side that the network gets: "
            f"{named(small)}; a smaller image.height and image.width would be faster",
        )
    if len(table.train) < 10:
        yield Finding(
            False, f"only {len(table.train)} images to train on; results will vary with the seed"
        )


def about_depth(facts: Mapping[str, ImageFacts], found: FoundDepth) -> Iterator[Finding]:
    """How many bits count in files of more than 8, and which images do not fit."""
    deep = {path: fact.deep for path, fact in facts.items() if fact.deep is not None}
    if not deep:
        return
    span = found.depth.range
    if found == ONLY_BYTES:
        count = "all 16 count"
    elif span is not None:
        count = f"black is {span[0]:g} and white {span[1]:g}"
    else:
        count = f"{found.bits} bits count"
    yield Finding(
        False,
        f"{len(deep)} images are stored with more than 8 bits; {count} ({found.origin}), and "
        "image.bits or image.range says otherwise",
    )
    dark = [path for path, one in deep.items() if one.bits < USUAL[-1] and not one.says]
    if found == ONLY_BYTES and dark:
        yield Finding(
            True,
            f"{len(dark)} images are almost black if all 16 bits count, while training images have "
            f"8: {named(dark)}; set image.bits={max(deep[p].bits for p in dark)}",
        )
    whole = {path: one for path, one in deep.items() if one.stored.kind != "floating point"}
    if span is None and (huge := [p for p, one in whole.items() if not within_16_bits(one)]):
        yield Finding(
            True,
            f"{len(huge)} images have values that exceed 16 bits: {named(huge)}; say which are "
            "black and white with image.range, or save them with 16 bits",
        )
    elif beyond := [path for path, one in deep.items() if one.extent[1] > white_of(one, found)]:
        yield Finding(
            True,
            f"{len(beyond)} images have values beyond what counts as white: {named(beyond)}; set "
            "image.bits to the camera's, or image.range",
        )


def within_16_bits(one: FileDepth) -> bool:
    """Whether all values are those of a 16-bit file."""
    return one.extent[0] >= FULL[0] and one.extent[1] <= FULL[1]


def white_of(one: FileDepth, found: FoundDepth) -> float:
    """What counts as white in a file."""
    stored = one.stored
    return found.depth.span(white=stored.white, significant=stored.significant, peak=one.extent[1])[
        1
    ]


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())
