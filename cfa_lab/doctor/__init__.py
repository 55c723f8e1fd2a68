"""`python -m cfa_lab doctor`: a data set checked before an hour is lost on it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from cfa_lab.config import Config
from cfa_lab.data.layouts import Options
from cfa_lab.doctor.archives import identify, unpack
from cfa_lab.doctor.sources import SOURCES
from cfa_lab.errors import Parser, UserError
from cfa_lab.files import replacing, user_path

Compose = Callable[[list[str]], Config]
"""From settings, as on the command line of a run, to the checked configuration."""

MOST_SIZES = 3


def main(arguments: list[str], compose: Compose) -> None:
    """Check a data set, unpack an archive, or say where data sets are; raises UserError."""
    parser = Parser(
        prog="python -m cfa_lab doctor",
        description="Open every image and mask of a data set and say what would spoil a run; exit "
        "code 1 where something would. All categories, or the one given as category=...",
        epilog="Example: python -m cfa_lab doctor dataset=auto dataset.root=/data/visa",
    )
    parser.add_argument("settings", nargs="*", help="as for a run: dataset=..., dataset.root=...")
    parser.add_argument("--names", action="store_true", help="look at names only, open nothing")
    parser.add_argument(
        "--sheets", type=user_path, default=Path("outputs/doctor"), help="folder for contact sheets"
    )
    parser.add_argument("--unpack", type=user_path, metavar="ARCHIVE", help="check and unpack it")
    parser.add_argument("--to", type=user_path, help="new folder to unpack into")
    parser.add_argument("--sources", action="store_true", help="where data sets are, and licences")
    options = parser.parse_intermixed_args(arguments)  # --names may follow the settings
    if options.sources:
        _show_sources()
    elif options.unpack is not None:
        _unpack(options.unpack, options.to)
    else:
        if unknown := [word for word in options.settings if "=" not in word]:
            raise UserError(f"doctor got {unknown[0]!r}; give settings as key=value")
        config = compose(options.settings)
        given = any(word.startswith("category=") for word in options.settings)
        sheets = None if options.names else options.sheets
        num_wrong = _check(config, [config.category] if given else None, sheets)
        if num_wrong:
            plural = "s" if num_wrong > 1 else ""
            raise UserError(f"{num_wrong} finding{plural} would spoil a run, told above")


def _show_sources() -> None:
    for source in SOURCES:
        archive = f"; archive {source.archive}" if source.archive else ""
        print(f"{source.title} (dataset={source.layout}): {source.where}{archive}")
        print(f"    licence: {source.licence}")


def _unpack(archive: Path, target: Path | None) -> None:
    source, sentence = identify(archive)
    print(sentence)
    name = source.layout if source else archive.name.partition(".")[0]
    target = target or archive.with_name(name)
    count = unpack(archive, target)
    print(f"{count} files unpacked into {target}")
    if source:
        print(f"licence: {source.licence}; do not hand the images on")
    print(f"next: python -m cfa_lab doctor dataset=auto dataset.root={target}")


def _check(config: Config, chosen: list[str] | None, sheets: Path | None) -> int:
    """Print what is found of the chosen categories, None for all; returns how much is wrong."""
    from cfa_lab.data.layouts import categories, locate
    from cfa_lab.run.tables import layout_options, made_root

    layout, root = made_root(config)
    options = layout_options(config)
    if sheets is not None:
        _refuse_unwritable(sheets)
    try:
        name, folder = locate(layout, root, options)
    except UserError as error:
        raise UserError(f"{error}{_hint(layout, root, options)}") from error
    print(f"{folder}: layout {name}")
    found = categories(name, folder, options)
    if not found and chosen is None:
        chosen = [config.category]  # whose error tells what was looked for
        print(f"\nno category{_hint(layout, root, options)}")
    return sum(_check_category(config, category, sheets) for category in chosen or found)


def _refuse_unwritable(sheets: Path) -> None:
    """Find out before an hour of looking that contact sheets cannot be written.

    Makes nothing: the folder may never be needed.
    """
    there = next(path for path in (sheets.absolute(), *sheets.absolute().parents) if path.exists())
    try:
        with replacing(there / ".probe") as probe:
            probe.touch()
        (there / ".probe").unlink()
    except OSError as error:
        raise UserError(
            f"contact sheets cannot be written to {sheets}: {error.strerror}; name another folder "
            "with --sheets, or look at names only with --names"
        ) from error


def _hint(layout: str, root: Path, options: Options) -> str:
    """The layout that is there in place of the one looked for, as far as it can be told."""
    from cfa_lab.data.layouts import locate

    if layout == "auto":
        return ""
    try:
        found, _ = locate("auto", root, options)
    except UserError:
        return ""
    return f"; it looks like the layout {found}: use dataset={found}, or dataset=auto"


def _check_category(config: Config, category: str, sheets: Path | None) -> int:
    from cfa_lab.data.depth_found import ONLY_BYTES
    from cfa_lab.doctor.examine import examine, findings_by_name
    from cfa_lab.doctor.finding import Finding
    from cfa_lab.doctor.sheet import draw_sheet
    from cfa_lab.run.tables import depth_of, geometry_of, read_table

    config.category = category
    print(f"\n{category}")
    try:
        table = read_table(config)
    except UserError as error:
        print(f"  wrong  {error}")
        return 1
    for split in ("train", "validation", "test"):
        kinds = Counter(sample.defect for sample in getattr(table, split))
        if kinds:
            parts = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
            print(f"  {split:10} {kinds.total():5}  {parts}")
    print(f"  split: {table.split_rule}")
    if sheets is None:
        findings = findings_by_name(table)
    else:
        try:
            depth, missing = depth_of(config, table), []
        except UserError as error:  # floating-point images without a range
            depth, missing = None, [Finding(True, str(error))]
        geometry = geometry_of(config, depth or ONLY_BYTES)
        examined = examine(table, geometry, depth, workers=config.features.workers)
        findings = [*missing, *examined.findings]
        sizes = [f"{w} x {h} ({n})" for (h, w), n in examined.sizes.most_common(MOST_SIZES)]
        more = len(examined.sizes) - MOST_SIZES
        modes = ", ".join(f"{mode} {count}" for mode, count in examined.modes.most_common())
        others = f" and {more} more" if more > 0 else ""
        print(f"  sizes (width x height): {', '.join(sizes)}{others}; {modes}")
        draw_sheet(table, sheets / f"{category}.png", geometry.depth)
        print(f"  sheet: {sheets / f'{category}.png'}")
    for finding in findings:
        print(f"  {'wrong ' if finding.wrong else 'note  '} {finding.text}")
    return sum(finding.wrong for finding in findings)
