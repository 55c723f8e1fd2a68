"""The images of a finished run, found again by its record."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cfa_lab.config import Config, conf_dir
from cfa_lab.data.samples import SampleTable
from cfa_lab.errors import UserError
from cfa_lab.records import names
from cfa_lab.records.record import record_of
from cfa_lab.run.tables import read_table
from cfa_lab.texts import read_yaml


def recorded_table(folder: Path) -> SampleTable:
    """The samples of a run, read anew from where its record says they are.

    A relative root is one from where the run was started, else from here. Nothing is made that was
    made on first use. Raises UserError, saying why, where there is no record or no data set.
    """
    values = record_of(folder).get("config")
    if not values:
        raise UserError(f"{folder} has no record of its data set ({names.RECORD} is missing)")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), values)
        _fill_in(merged)
        config: Config = OmegaConf.to_object(merged)  # pyright: ignore[reportAssignmentType]
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder / names.RECORD} is of another version ({reason})") from error
    dataset, started = config.dataset, _started_in(folder)
    layout, given = dataset.layout, Path(dataset.root).expanduser()
    if layout == "toy":
        layout = "mvtec"
    elif layout == "rd_mvtec":
        made = Path(dataset.made or dataset.root).expanduser()
        layout, given = "mvtec", made / f"seed{dataset.draw_seed}"
    roots = [start / given for start in (started, Path.cwd()) if start is not None]
    root = next((one for one in roots if one.is_dir()), None)
    if root is None:
        raise UserError(f"the run's data set is not there any more ({roots[0]})")
    there = replace(dataset, layout=layout, root=str(root))
    return read_table(replace(config, dataset=there))


def _fill_in(config: Any) -> None:
    """Give keys that came after a record was written what they are by default."""
    for dotted in OmegaConf.missing_keys(config):
        group, _, key = dotted.partition(".")
        file = conf_dir() / group / ("auto.yaml" if group == "dataset" else "default.yaml")
        defaults: Any = OmegaConf.load(file) if file.is_file() else {}
        if key in defaults:
            OmegaConf.update(config, dotted, defaults[key])


def _started_in(folder: Path) -> Path | None:
    """The folder in which a run was started, as Hydra noted it."""
    try:
        noted = read_yaml(folder / names.HYDRA)
        return Path(noted["hydra"]["runtime"]["cwd"])
    except (OSError, ValueError, TypeError, LookupError):
        return None
