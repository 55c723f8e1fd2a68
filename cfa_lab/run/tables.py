"""The samples that a configuration chooses, and their depth; nothing here needs torch."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path, PurePosixPath

from cfa_lab.config import Config
from cfa_lab.data.depth_found import FoundDepth, find_depth
from cfa_lab.data.geometry import Geometry
from cfa_lab.data.layouts import Options, categories, read_samples
from cfa_lab.data.samples import Sample, SampleTable
from cfa_lab.data.twins import contents, keep_together
from cfa_lab.errors import UserError
from cfa_lab.features.identity import image_hash
from cfa_lab.progress import each


def read_table(config: Config) -> SampleTable:
    """The samples that a configuration chooses; makes the toy set where it is asked for."""
    values = config.dataset
    layout, root = made_root(config)
    table = read_samples(layout, root, config.category, layout_options(config))
    if table.drawn:
        normal = [sample for sample in table.samples if not sample.label]
        table = keep_together(table, _contents(config, table, normal))
    table = table.limit_train(values.limit_train, values.subset_seed)
    if not values.validation_fraction:
        return table
    content = _contents(config, table, table.train)
    return table.hold_out(values.validation_fraction, values.subset_seed, content)


def _contents(config: Config, table: SampleTable, samples: Sequence[Sample]) -> dict[str, str]:
    """A hash of the pixels of some images, by path."""
    paths = [sample.path for sample in samples]
    found = contents([table.absolute(path) for path in paths], workers=config.features.workers)
    return dict(zip(paths, found, strict=True))


def depth_of(config: Config, table: SampleTable) -> FoundDepth:
    """The depth of the images that a configuration chooses, from those it trains on."""
    values = config.image
    paths = [table.absolute(sample.path) for sample in table.train]
    return find_depth(paths, workers=config.features.workers, bits=values.bits, span=values.range)


def geometry_of(config: Config, depth: FoundDepth) -> Geometry:
    """The way of images into the network: as configured, with the depth that was found."""
    found = {"bits": depth.depth.bits, "range": depth.depth.range}
    return Geometry(**asdict(config.image) | found)


def seen_in_training(
    table: SampleTable, samples: Sequence[Sample], *, workers: int = 1
) -> list[str]:
    """Those that were trained on: opens all files, and where they are of several formats decodes.

    Files of one format are told by their bytes, others by their pixels.
    """
    if not samples:
        return []
    num_train = len(table.train)
    both = [*table.train, *samples]
    if len({PurePosixPath(sample.path).suffix.lower() for sample in both}) > 1:
        marks = contents([table.absolute(sample.path) for sample in both], workers=workers)
    else:
        marks = [image_hash(table.absolute(s.path)) for s in each(both, "reading", len(both))]
    known = {*marks[:num_train]}
    return [s.path for s, mark in zip(samples, marks[num_train:], strict=True) if mark in known]


def made_root(config: Config) -> tuple[str, Path]:
    """The layout and the root to read, once what is made on first use has been made."""
    values = config.dataset
    root = Path(values.root).expanduser().absolute()
    if values.layout == "toy":
        from cfa_lab.data.toy import write_toy

        write_toy(root)
        return "mvtec", root
    if values.layout == "rd_mvtec":
        from cfa_lab.data.rotated import write_rotated

        if values.made is None:
            raise UserError("dataset=rd_mvtec writes images; say where with dataset.made=<folder>")
        made = Path(values.made).expanduser().absolute()
        return "mvtec", write_rotated(root, made, config.category, seed=values.draw_seed)
    return values.layout, root


def layout_options(config: Config) -> Options:
    """What the layouts need to know besides the folder."""
    values = config.dataset
    return Options(
        seed=values.subset_seed,
        test_fraction=values.test_fraction,
        split=values.split,
        images=values.images,
        index=values.index,
        normal=None if values.normal is None else tuple(values.normal),
        normal_test=tuple(values.normal_test),
        defects=None if values.defects is None else tuple(values.defects),
        masks=values.masks,
    )


def find_categories(config: Config) -> list[str]:
    """The categories of the data set that a configuration chooses, sorted; raises UserError."""
    if config.dataset.layout == "rd_mvtec":  # made category by category from these
        return categories("mvtec", Path(config.dataset.root).expanduser().absolute())
    return categories(*made_root(config), layout_options(config))
